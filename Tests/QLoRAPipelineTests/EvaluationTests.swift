// What evaluation reports of rows and of their tokens.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import TestSupport
import Testing

@Suite struct EvaluationTests {
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  private func evaluate(
    model: String? = nil, quantization: String? = nil, computeDType: String? = nil,
    tokens: String? = nil
  ) throws -> EvaluationReport {
    try Pipeline.evaluate(
      BaseOptions(
        model: model ?? tiny.modelPath, adapter: nil, quantization: quantization,
        computeDType: computeDType, threads: 1),
      EvaluationRequest(
        source: DataSource(path: tiny.dataPath, format: .messages),
        tokensPath: tokens.map(tiny.folder.path))
    ) { _, _ in }
  }

  @Test func tokensAddUpToTheReport() throws {
    let report = try evaluate(tokens: "tokens.jsonl")
    let lines = try tiny.bytes("tokens.jsonl").split(separator: UInt8(ascii: "\n"))
      .map { try JSONValue(parsing: $0) }
    #expect(lines.map { $0["row"]?.intValue } == (1...13).map(Optional.init))
    var (sum, count) = (0.0, 0)
    for line in lines {
      func list(_ name: String) throws -> [JSONValue] { try #require(line[name]?.arrayValue) }
      let (tokens, labels) = (try list("tokens"), try list("labels"))
      let (losses, likely) = (try list("negativeLogLikelihoods"), try list("mostLikely"))
      #expect(Set([tokens.count, labels.count, losses.count, likely.count]).count == 1)
      #expect(losses.map(\.isNull) == tokens.indices.map { $0 == 0 })
      #expect(likely.map(\.isNull) == tokens.indices.map { $0 == 0 })
      for (label, loss) in zip(labels, losses) where label.intValue != -100 {
        sum += loss.doubleValue ?? .nan
        count += 1
      }
    }
    #expect(count == report.total.labelledTokens && sum == report.total.lossSum)
  }

  @Test func tokensReplaceNothing() throws {
    try tiny.write("tokens.jsonl", "mine")
    let found = #expect(throws: Diagnostic.self) { _ = try evaluate(tokens: "tokens.jsonl") }
    #expect(found?.code.exitCode == .outputExists)
    #expect(try tiny.bytes("tokens.jsonl") == Array("mine".utf8))
  }
}
