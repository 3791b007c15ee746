// The encoder of T5 as forward code: relative places as a bias of attention scores, RMS norms
// without means, gated GELU.
// Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified
// Text-to-Text Transformer", arXiv:1910.10683, section 2.1; Shazeer 2020, arXiv:2002.05202, for the
// gate.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

package struct T5Encoder {
  private struct Layer {
    var attentionNorm: Tensor
    var query: AdaptedLinear
    var key: AdaptedLinear
    var value: AdaptedLinear
    var output: AdaptedLinear
    var mlpNorm: Tensor
    var gate: AdaptedLinear
    var up: AdaptedLinear
    var down: AdaptedLinear
  }

  private let backend: any Backend
  private let tokens: any PreparedWeight
  private let layers: [Layer]
  private let finalNorm: Tensor
  /// `[buckets, heads]`: what every layer adds to scores by the distance of key and query.
  private let biases: Tensor
  private let buckets: Int
  private let largestDistance: Int
  private let heads: Int
  private let headSize: Int
  private let epsilon: Float
  /// Of what is multiplied; what is added up over layers is float32.
  private let dtype: DType
  package let hidden: Int
  package let vocabularySize: Int

  /// - Throws: `imageConfigInvalid`; a diagnostic that names the tensor at fault.
  package init(_ folder: PartFolder, backend: any Backend, options: LoadOptions) throws {
    let loader = try PartLoader(folder, backend: backend, options: options)
    let config = PartConfig(folder)
    _ = try config.word("feed_forward_proj", of: ["gated-gelu"])
    self.backend = backend
    dtype = options.computeDType
    let (heads, headSize) = (try config.count("num_heads"), try config.count("d_kv"))
    let (hidden, wide) = (try config.count("d_model"), try config.count("d_ff"))
    (self.heads, self.headSize, self.hidden) = (heads, headSize, hidden)
    vocabularySize = try config.count("vocab_size")
    epsilon = Float(try config.number("layer_norm_epsilon", default: 1e-6))
    buckets = try config.count("relative_attention_num_buckets", default: 32)
    largestDistance = try config.count("relative_attention_max_distance", default: 128)
    tokens = try loader.matrix("shared.weight", [vocabularySize, hidden])
    let inner = heads * headSize
    layers = try (0..<(try config.count("num_layers"))).map { index in
      let prefix = "encoder.block.\(index).layer."
      func linear(_ name: String, _ out: Int, _ input: Int) throws -> AdaptedLinear {
        try loader.linear(prefix + name, out, input)
      }
      return Layer(
        attentionNorm: try loader.vector(prefix + "0.layer_norm.weight", hidden),
        query: try linear("0.SelfAttention.q", inner, hidden),
        key: try linear("0.SelfAttention.k", inner, hidden),
        value: try linear("0.SelfAttention.v", inner, hidden),
        output: try linear("0.SelfAttention.o", hidden, inner),
        mlpNorm: try loader.vector(prefix + "1.layer_norm.weight", hidden),
        gate: try linear("1.DenseReluDense.wi_0", wide, hidden),
        up: try linear("1.DenseReluDense.wi_1", wide, hidden),
        down: try linear("1.DenseReluDense.wo", hidden, wide))
    }
    biases = try loader.tensor(
      "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", [buckets, heads])
    finalNorm = try loader.vector("encoder.final_layer_norm.weight", hidden)
  }

  /// - Parameter prompt: tokens of one prompt, padding included, below `vocabularySize`.
  /// - Returns: `[tokens, hidden]`.
  /// - Throws: what `ScoredAttention` throws.
  package func encode(_ prompt: [Int32]) throws -> [Float] {
    let tape = Tape(backend: backend, isRecording: false)
    let embedded = backend.allocate([prompt.count, hidden], .float32)
    backend.embedding(prompt, tokens, into: embedded)
    let attention = ScoredAttention(
      backend: backend, heads: heads, headSize: headSize, scale: 1,
      biases: distanceBiases(prompt.count))
    var rows = Variable(embedded)
    for layer in layers {
      let parts = tape.linears(
        norm(rows, layer.attentionNorm, dtype), [layer.query, layer.key, layer.value],
        dtype: dtype)
      let attended = try attention.attend(parts[0].value, parts[1].value, parts[2].value)
      let middle = tape.add(
        rows, tape.linears(Variable(attended), [layer.output], dtype: .float32)[0])
      let expanded = tape.linears(
        norm(middle, layer.mlpNorm, dtype), [layer.gate, layer.up], dtype: dtype)
      let active = tape.activate(expanded[0], expanded[1], .geluTanh)
      rows = tape.add(middle, tape.linears(active, [layer.down], dtype: .float32)[0])
    }
    let normalized = norm(rows, finalNorm, .float32)
    backend.synchronize()
    return normalized.value.floats()
  }

  /// The sums of a row stay in float32, what is multiplied may be in fewer bits.
  private func norm(_ rows: Variable, _ weight: Tensor, _ dtype: DType) -> Variable {
    let output = backend.allocate(rows.value.shape, dtype)
    let inverse = backend.allocate([rows.value.shape[0]], .float32)
    backend.rmsNorm(
      rows.value, weight: weight, epsilon: epsilon, into: output, inverseRMS: inverse)
    return Variable(output)
  }

  /// What each head adds by distance: those of all keys of `count` rows, the farthest before first.
  private func distanceBiases(_ count: Int) -> [Tensor] {
    let bucketOf = (-(count - 1)...max(0, count - 1)).map { bucket($0) }
    let values = biases.floats()
    return (0..<heads).map { head in
      Tensor(bucketOf.map { values[$0 * heads + head] }, shape: [bucketOf.count])
    }
  }

  /// Half of the buckets for keys after the query; of each half, one for each small distance and
  /// the rest by its logarithm.
  private func bucket(_ distance: Int) -> Int {
    let half = buckets / 2
    let exact = half / 2
    let length = abs(distance)
    let side = distance > 0 ? half : 0
    guard length >= exact else { return side + length }
    let whole = Float(log(Double(largestDistance) / Double(exact)))
    let part = logf(Float(length) / Float(exact)) / whole
    return side + min(half - 1, exact + Int(part * Float(half - exact)))
  }
}
