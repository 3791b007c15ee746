// Encoders' folders: configurations, and the names that older files have.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor
import Testing

import QLoRAFormats

/// Tensors of one element, by name.
private struct NamedWeights: WeightSource {
  let names: [String]

  func contains(_ name: String) -> Bool { names.contains(name) }
  func shape(of name: String) throws -> Shape { [try place(name)] }
  func dtype(of name: String) throws -> DType { .float32 }

  /// A tensor's place from 1, which is also its size and its values.
  private func place(_ name: String) throws -> Int {
    guard let index = names.firstIndex(of: name) else {
      throw Diagnostic(.tensorMissing, "no \(name)")
    }
    return index + 1
  }

  func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    destination.update(repeating: Float(try place(name)))
  }
}

@Suite struct EncoderFilesTests {
  @Test func olderNamesAreFound() throws {
    let weights = RenamedWeights.encoder(
      NamedWeights(names: [
        "embeddings.LayerNorm.gamma", "embeddings.LayerNorm.beta", "embeddings.position_ids",
        "encoder.layer.0.output.dense.weight", "pooler.dense.bias",
      ]), .bert)
    #expect(
      weights.names == [
        "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias",
        "bert.encoder.layer.0.output.dense.weight", "bert.pooler.dense.bias",
      ])
    #expect(try weights.tensor("bert.embeddings.LayerNorm.bias").floats() == [2, 2])
    #expect(!weights.contains("embeddings.LayerNorm.gamma"))
    #expect(throws: Diagnostic.self) { try weights.shape(of: "bert.embeddings.position_ids") }
  }

  /// As files of Gemma 3 have them; of transformers 5 in memory.
  @Test func aHeldDecoderIsFoundInside() throws {
    let names = [
      "language_model.model.norm.weight", "language_model.lm_head.weight",
      "model.language_model.embed_tokens.weight", "vision_tower.post_layernorm.weight",
    ]
    let weights = RenamedWeights.held(NamedWeights(names: names), by: "language_model")
    #expect(
      weights.names == [
        "model.language_model.norm.weight", "lm_head.weight",
        "model.language_model.embed_tokens.weight", "vision_tower.post_layernorm.weight",
      ])
    #expect(try weights.tensor("lm_head.weight").floats() == [2, 2])
  }

  @Test func newerNamesStay() throws {
    let names = ["roberta.embeddings.LayerNorm.weight", "classifier.dense.weight", "lm_head.bias"]
    let weights = RenamedWeights.encoder(NamedWeights(names: names), .roberta)
    #expect(weights.names == names)
    #expect(try weights.shape(of: "classifier.dense.weight") == [2])
  }

  private func config(_ members: String) throws -> ModelConfig {
    let text = """
      {"model_type": "roberta", "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48,
       "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 24
       \(members)}
      """
    return try ModelConfig(json: try JSONValue(parsing: text), path: "config.json")
  }

  @Test func configurations() throws {
    let plain = try config("")
    #expect(plain.positionLimit == 22 && plain.form.positionOffset == 2)
    #expect(!plain.form.isCausal && plain.tiesEmbeddings && plain.rotaryDim == 0)
    #expect(plain.isLinear("roberta.encoder.layer.1.intermediate.dense"))
    #expect(!plain.isLinear("roberta.encoder.layer.1.output.LayerNorm"))
    #expect(!plain.isLinear("bert.pooler.dense"))
    #expect(try config(", \"pad_token_id\": null").form.positionOffset == 2)
  }

  @Test(arguments: [
    ", \"position_embedding_type\": \"relative_key\"", ", \"is_decoder\": true",
    ", \"pad_token_id\": 23", ", \"pad_token_id\": 9223372036854775807", ", \"pad_token_id\": -1",
    ", \"type_vocab_size\": 0", ", \"hidden_act\": \"relu\"",
  ])
  func whatIsNotComputedIsRefused(members: String) {
    #expect(throws: Diagnostic.self) { try config(members) }
  }
}
