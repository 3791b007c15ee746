// Reads the same configuration from the metadata of a GGUF file.
import QLoRADiagnostics
import QLoRATensor

extension ModelConfig {
  /// Tensors that hold divisors of rotary frequencies.
  static let ggufRopeTensors: Set<String> = [
    "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
  ]

  /// - Throws: `architectureUnsupported`, `ggufMetadata`, or what `check` throws.
  package init(gguf: GGUFFile) throws {
    let reader = try GGUFMetadataReader(gguf)
    let family = reader.family
    let heads = try reader.int("attention.head_count")
    let hidden = try reader.int("embedding_length")
    let rotaryDim = try reader.int("rope.dimension_count", default: 0)
    let usual = heads > 0 ? hidden / heads : 0
    // Where all of a head is rotated, either number says how large it is.
    let isPartial = [.gptNeoX, .stablelm, .phi3, .glm4].contains(family)
    let headDim = try reader.int(
      "attention.key_length", default: isPartial || rotaryDim == 0 ? usual : rotaryDim)
    let embedding = try gguf.tensor("token_embd.weight")
    guard embedding.extents.count == 2, embedding.extents[1] == hidden else {
      throw Diagnostic(
        .configInvalid,
        "the embedding is \(Shape(embedding.extents)), its rows must be of \(hidden)",
        at: .tensor(file: gguf.path, name: embedding.name))
    }
    let layers = try reader.int("block_count")
    var form = try reader.form(layers: layers, hidden: hidden, heads: heads, headDim: headDim)
    if isPartial, rotaryDim > 0, rotaryDim < headDim { form.rotaryDim = rotaryDim }
    let epsilon =
      form.norm.isCentered ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"
    self.init(
      vocabularySize: embedding.extents[0],
      hidden: hidden,
      intermediate: try reader.int(
        family == .qwen3Moe ? "expert_feed_forward_length" : "feed_forward_length"),
      layers: layers,
      heads: heads,
      kvHeads: try reader.int("attention.head_count_kv", default: heads),
      headDim: headDim,
      normEpsilon: Float(try reader.double(epsilon)),
      rope: try reader.rope(pairs: (form.rotaryDim ?? headDim) / 2),
      maxPositions: try reader.int("context_length"),
      tiesEmbeddings: !gguf.contains("output.weight"),
      bosTokens: try reader.token("tokenizer.ggml.bos_token_id"),
      eosTokens: try reader.token("tokenizer.ggml.eos_token_id"))
    self.family = family
    self.form = form
    try check(at: .file(gguf.path))
  }
}
