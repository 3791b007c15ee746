// What evaluation reports of rows and of their tokens.
import Foundation
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import QLoRATensor
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

  /// A folder in FP4 is taken as it is; so is one that FP4 is asked of on the way.
  @Test(arguments: [true, false])
  func fp4TrainsAndEvaluates(_ doubleQuantized: Bool) throws {
    var options = QuantizationOptions()
    options.quantization = .fourBit(
      QuantizationSpec(type: .fp4, blockSize: 32, doubleQuantized: doubleQuantized))
    let folder = tiny.folder.path("fp4")
    _ = try Pipeline.quantize(model: tiny.modelPath, options, to: folder)
    let settings = [
      "model.quantization.type=fp4", "model.quantization.blocksize=32",
      "model.quantization.doubleQuant=\(doubleQuantized)", "training.steps=2",
    ]
    try tiny.train("way", settings)
    try tiny.train(
      "folder",
      ["model.path=\(folder)", "model.quantization.type=none", "training.steps=2"])
    #expect(try tiny.result("way").metrics == tiny.result("folder").metrics)
    try tiny.train("nf4", ["training.steps=2"])
    #expect(try tiny.result("way").metrics != tiny.result("nf4").metrics)
    let losses = try [
      evaluate(model: folder), evaluate(model: folder, quantization: "fp4"), evaluate(),
    ].map(\.total.lossSum)
    #expect(losses[0] == losses[1] && losses[0] != losses[2])
    let asked = try evaluate(quantization: "fp4").total.lossSum
    let other = try evaluate(quantization: "nf4").total.lossSum
    #expect(asked != losses[2] && asked != other)
  }

  @Test func float16IsNearerThanBfloat16() throws {
    let losses = try ["float32", "float16", "bfloat16"].map {
      try evaluate(computeDType: $0).total.meanNegativeLogLikelihood
    }
    let distances = losses.map { abs($0 - losses[0]) }
    #expect(distances[1] > 0 && distances[1] < 1e-3 && distances[1] < distances[2])
  }

  /// What overflows float16 ends a run before the update, with bfloat16 it trains.
  @Test func overflowOfFloat16EndsTheRun() throws {
    let files = try ShardedSafetensors(folder: tiny.modelPath)
    let tensors = try files.names.map { name in
      let tensor = try files.readTensor(name)
      let isWide = name.contains("gate_proj") || name.contains("up_proj")
      return (name: name, tensor: isWide
        ? Tensor(tensor.floats().map { $0 * 10_000 }, shape: tensor.shape) : tensor)
    }
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors) { bytes += $0 }
    try Data(bytes).write(to: URL(filePath: tiny.modelPath).appending(path: "model.safetensors"))
    try tiny.train("wide", ["training.steps=1", "model.computeDType=bfloat16"])
    let found = #expect(throws: Diagnostic.self) {
      try tiny.train("half", ["training.steps=1", "model.computeDType=float16"])
    }
    #expect(found?.code.exitCode == .diverged)
  }

  @Test func tokensReplaceNothing() throws {
    try tiny.write("tokens.jsonl", "mine")
    let found = #expect(throws: Diagnostic.self) { _ = try evaluate(tokens: "tokens.jsonl") }
    #expect(found?.code.exitCode == .outputExists)
    #expect(try tiny.bytes("tokens.jsonl") == Array("mine".utf8))
  }
}
