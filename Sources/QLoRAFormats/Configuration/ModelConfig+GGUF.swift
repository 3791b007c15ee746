// Reads the same configuration from the metadata of a GGUF file.
import QLoRADiagnostics
import QLoRATensor

extension ModelConfig {
  /// - Throws: `architectureUnsupported`, `ggufMetadata`, or what `check` throws.
  package init(gguf: GGUFFile) throws {
    let reader = GGUFMetadataReader(gguf: gguf)
    try reader.checkArchitecture()
    let heads = try reader.int("llama.attention.head_count")
    let hidden = try reader.int("llama.embedding_length")
    let headDim = try reader.int(
      "llama.attention.key_length",
      default: try reader.int(
        "llama.rope.dimension_count", default: heads > 0 ? hidden / heads : 0))
    let embedding = try gguf.tensor("token_embd.weight")
    guard embedding.extents.count == 2, embedding.extents[1] == hidden else {
      throw Diagnostic(
        .configInvalid,
        "the embedding is \(Shape(embedding.extents)), its rows must be of \(hidden)",
        at: .tensor(file: gguf.path, name: embedding.name))
    }
    self.init(
      vocabularySize: embedding.extents[0],
      hidden: hidden,
      intermediate: try reader.int("llama.feed_forward_length"),
      layers: try reader.int("llama.block_count"),
      heads: heads,
      kvHeads: try reader.int("llama.attention.head_count_kv", default: heads),
      headDim: headDim,
      normEpsilon: Float(try reader.double("llama.attention.layer_norm_rms_epsilon")),
      rope: try reader.rope(headDim: headDim),
      maxPositions: try reader.int("llama.context_length"),
      tiesEmbeddings: !gguf.contains("output.weight"),
      attentionBias: gguf.contains("blk.0.attn_q.bias"),
      mlpBias: gguf.contains("blk.0.ffn_gate.bias"),
      bosTokens: try reader.token("tokenizer.ggml.bos_token_id"),
      eosTokens: try reader.token("tokenizer.ggml.eos_token_id"))
    try check(at: .file(gguf.path))
  }
}

/// Typed access to GGUF metadata.
private struct GGUFMetadataReader {
  let gguf: GGUFFile

  private func wrong(_ key: String, _ expected: String) -> Diagnostic {
    Diagnostic(
      .ggufMetadata,
      "\"\(key)\" must be \(expected), found \(gguf.metadata[key]?.kindName ?? "nothing")",
      at: .file(gguf.path))
  }

  func int(
    _ key: String, default fallback: @autoclosure () throws(Diagnostic) -> Int? = nil
  ) throws(Diagnostic) -> Int {
    guard let value = gguf.metadata[key] else {
      guard let fallback = try fallback() else { throw wrong(key, "an integer") }
      return fallback
    }
    guard let integer = value.int else { throw wrong(key, "an integer") }
    return integer
  }

  func double(_ key: String, default fallback: Double? = nil) throws(Diagnostic) -> Double {
    guard let value = gguf.metadata[key] else {
      guard let fallback else { throw wrong(key, "a number") }
      return fallback
    }
    guard let number = value.double else { throw wrong(key, "a number") }
    return number
  }

  func token(_ key: String) throws(Diagnostic) -> [Int] {
    gguf.metadata[key] == nil ? [] : [try int(key)]
  }

  func checkArchitecture() throws(Diagnostic) {
    let key = "general.architecture"
    guard let name = gguf.metadata[key]?.string else { throw wrong(key, "a string") }
    guard name == "llama" else {
      throw Diagnostic(
        .architectureUnsupported, "\(key) is \"\(name)\"; only \"llama\" is supported",
        at: .file(gguf.path))
    }
    if let kind = gguf.metadata["general.type"]?.string, kind != "model" {
      throw Diagnostic(
        .architectureUnsupported, "general.type is \"\(kind)\", expected \"model\"",
        at: .file(gguf.path))
    }
    guard (try int("llama.expert_count", default: 0)) == 0 else {
      throw Diagnostic(
        .architectureUnsupported, "mixtures of experts are not supported", at: .file(gguf.path))
    }
  }

  /// The base, and the divisors of the llama3 scaling where the file stores them.
  func rope(headDim: Int) throws -> RopeParameters {
    let usualTheta = 10_000.0
    let theta = try double("llama.rope.freq_base", default: usualTheta)
    let divisorsName = "rope_freqs.weight"
    if gguf.contains(divisorsName) {
      let tensor = try gguf.tensor(divisorsName)
      guard tensor.extents == [headDim / 2] else {
        throw Diagnostic(
          .configInvalid, "expected \(headDim / 2) divisors, found \(Shape(tensor.extents))",
          at: .tensor(file: gguf.path, name: divisorsName))
      }
      var divisors = [Float](repeating: 1, count: tensor.count)
      try divisors.withUnsafeMutableBufferPointer {
        try gguf.readFloats(divisorsName, range: 0..<tensor.count, into: $0)
      }
      guard divisors.allSatisfy({ $0 > 0 && $0.isFinite }) else {
        throw Diagnostic(
          .configInvalid, "divisors must be positive",
          at: .tensor(file: gguf.path, name: divisorsName))
      }
      return RopeParameters(theta: theta, scaling: .divisors(divisors))
    }
    switch gguf.metadata["llama.rope.scaling.type"]?.string ?? "none" {
    case "none": return RopeParameters(theta: theta)
    case "linear":
      let factor = try double("llama.rope.scaling.factor")
      guard factor > 0 else { throw wrong("llama.rope.scaling.factor", "a positive number") }
      return RopeParameters(theta: theta, scaling: .linear(factor: factor))
    case let other:
      throw Diagnostic(
        .ropeUnsupported, "rotary scaling \"\(other)\"; known are none, linear and rope_freqs",
        at: .file(gguf.path))
    }
  }
}
