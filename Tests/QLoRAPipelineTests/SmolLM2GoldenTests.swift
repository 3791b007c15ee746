// The quickstart's base model from its GGUF against transformers and bitsandbytes, in float32: the
// loss of a passage, the most likely next tokens, a greedy answer.

import Foundation
import QLoRAJSON
import QLoRAModels
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

private enum SmolLM2 {
  /// QLORA_SMOLLM2_GGUF names another place than the one that the quickstart uses.
  static let path =
    ProcessInfo.processInfo.environment["QLORA_SMOLLM2_GGUF"]
    ?? Goldens.repository.appending(path: "Models/SmolLM2-135M-Instruct.Q4_1.gguf")
    .path(percentEncoded: false)

  static let isPresent = FileManager.default.fileExists(atPath: path)

  enum Base: String, CaseIterable, Sendable {
    case float32, nf4dq

    var quantization: WeightQuantization? { self == .nf4dq ? .fourBit(QuantizationSpec()) : nil }
  }
}

@Suite(.enabled(if: SmolLM2.isPresent, "the SmolLM2 GGUF file is not in Models/"), .serialized)
struct SmolLM2GoldenTests {
  let golden: JSONValue

  init() throws {
    golden = try JSONValue(parsing: Array(Data(contentsOf: Goldens.url("smollm2.json"))))
  }

  private func load(_ base: SmolLM2.Base) throws -> LoadedModel {
    try LoadedModel.load(
      ModelRequest(
        path: SmolLM2.path,
        load: LoadOptions(quantization: base.quantization, computeDType: .float32)))
  }

  private func tokens(_ value: JSONValue?) throws -> [Int32] {
    try #require(value?.arrayValue).compactMap { $0.intValue.map { Int32($0) } }
  }

  /// The golden prompt, then at most 16 greedy tokens with the end token among them.
  private func greedyDialogue(_ loaded: LoadedModel) throws -> String {
    let prompt = try #require(golden["chat_text"]?.arrayValue?.first?.stringValue)
    let tokenizer = loaded.text.tokenizer
    var tokens = tokenizer.encode(prompt)
    var next = tokens
    let cache = loaded.model.makeCache()
    for _ in 0..<16 {
      let token = Sampler.greedy(loaded.model.nextLogits(after: next, cache))
      tokens.append(token)
      if loaded.text.endTokens.contains(token) { break }
      next = [token]
    }
    return tokenizer.decode(tokens, skipsControlTokens: false)
  }

  @Test(arguments: SmolLM2.Base.allCases)
  private func agreesWithTransformers(_ base: SmolLM2.Base) throws {
    let loaded = try load(base)
    let expected = try #require(golden[base.rawValue])

    // Without an end token: every token but the first is predicted from those before it.
    let passage = try tokens(golden["passage_ids"])
    let last = passage.count - 1
    let scores = loaded.model.score(
      TokenBatch(
        tokens: passage, positions: (0...last).map { Int32($0) }, bounds: [0, passage.count],
        rows: (0..<last).map { Int32($0) }, targets: Array(passage.dropFirst())))
    let sum = scores.negativeLogLikelihoods.reduce(0) { $0 + Double($1) }
    let mean = try #require(expected["mean_nll"]?.doubleValue)
    #expect(abs(sum / Double(last) - mean) < 2e-4)

    let logits = loaded.model.nextLogits(after: passage, loaded.model.makeCache())
    let wanted = try tokens(expected["last_top_ids"])
    let order = logits.indices.sorted { logits[$0] > logits[$1] }
    #expect(order.prefix(wanted.count).map { Int32($0) } == wanted)
    let values = try #require(expected["last_top_logits"]?.arrayValue).compactMap(\.doubleValue)
    for (token, value) in zip(wanted, values) {
      #expect(abs(Double(logits[Int(token)]) - value) < 2e-3, "logit of token \(token)")
    }

    #expect(try greedyDialogue(loaded) == expected["greedy_chat0"]?.stringValue)
  }
}
