// The text model of CLIP as forward code: a causal transformer with learned places.
// Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
// Supervision", arXiv:2103.00020, section 2.4.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

/// What image models take of a prompt from CLIP.
package struct CLIPEmbedding {
  /// `[tokens, hidden]`, before the last layer.
  package let penultimate: [Float]
  /// Of the text as a whole: projected where the model has a projection.
  package let pooled: [Float]
}

package struct CLIPTextEncoder {
  private struct Layer {
    var attentionNorm: (weight: Tensor, bias: Tensor)
    var query: AdaptedLinear
    var key: AdaptedLinear
    var value: AdaptedLinear
    var output: AdaptedLinear
    var mlpNorm: (weight: Tensor, bias: Tensor)
    var up: AdaptedLinear
    var down: AdaptedLinear
  }

  private let backend: any Backend
  private let tokens: any PreparedWeight
  private let places: any PreparedWeight
  private let layers: [Layer]
  private let finalNorm: (weight: Tensor, bias: Tensor)
  private let projection: AdaptedLinear?
  private let attention: AttentionLayout
  private let epsilon: Float
  /// Whether GELU is approximated by a logistic function.
  private let isQuick: Bool
  private let endToken: Int
  package let hidden: Int
  /// Tokens of a prompt, padded or cut.
  package let length: Int
  package let vocabularySize: Int

  /// - Throws: `imageConfigInvalid`; a diagnostic that names the tensor at fault.
  package init(_ folder: PartFolder, backend: any Backend, options: LoadOptions) throws {
    let loader = try PartLoader(folder, backend: backend, options: options)
    let config = PartConfig(folder)
    let hidden = try config.count("hidden_size")
    let wide = try config.count("intermediate_size")
    let heads = try config.count("num_attention_heads")
    guard hidden % heads == 0, hidden / heads % 8 == 0 else {
      throw config.failure("num_attention_heads", "a divisor of hidden_size with heads of 8·n")
    }
    self.hidden = hidden
    self.backend = backend
    length = try config.count("max_position_embeddings")
    vocabularySize = try config.count("vocab_size")
    epsilon = Float(try config.number("layer_norm_eps", default: 1e-5))
    isQuick = try config.word("hidden_act", of: ["quick_gelu", "gelu"]) != "gelu"
    // Folders older than the fix of their end token say 2, and mean the largest token.
    endToken = try config.count("eos_token_id", default: 2)
    attention = AttentionLayout(
      heads: heads, kvHeads: heads, headSize: hidden / heads,
      scale: 1 / Float(hidden / heads).squareRoot())
    // Newer releases of transformers leave the part's name out.
    let known = "text_model."
    let prefix =
      folder.weights.contains(known + "final_layer_norm.weight") ? known : ""
    func norm(_ name: String) throws -> (weight: Tensor, bias: Tensor) {
      (
        try loader.vector("\(prefix)\(name).weight", hidden),
        try loader.vector("\(prefix)\(name).bias", hidden)
      )
    }
    func linear(_ name: String, _ out: Int, _ input: Int) throws -> AdaptedLinear {
      try loader.linear(prefix + name, out, input)
    }
    tokens = try loader.matrix(
      prefix + "embeddings.token_embedding.weight", [vocabularySize, hidden])
    places = try loader.matrix(prefix + "embeddings.position_embedding.weight", [length, hidden])
    layers = try (0..<(try config.count("num_hidden_layers"))).map { index in
      let layer = "encoder.layers.\(index)."
      return Layer(
        attentionNorm: try norm(layer + "layer_norm1"),
        query: try linear(layer + "self_attn.q_proj", hidden, hidden),
        key: try linear(layer + "self_attn.k_proj", hidden, hidden),
        value: try linear(layer + "self_attn.v_proj", hidden, hidden),
        output: try linear(layer + "self_attn.out_proj", hidden, hidden),
        mlpNorm: try norm(layer + "layer_norm2"), up: try linear(layer + "mlp.fc1", wide, hidden),
        down: try linear(layer + "mlp.fc2", hidden, wide))
    }
    finalNorm = try norm("final_layer_norm")
    let projected = "text_projection"
    projection =
      folder.weights.contains(projected + ".weight")
      ? try loader.linear(projected, try config.count("projection_dim"), hidden) : nil
  }

  /// - Parameter tokens: of one prompt, at most `length`, below `vocabularySize`.
  package func encode(_ prompt: [Int32]) -> CLIPEmbedding {
    let tape = Tape(backend: backend, isRecording: false)
    let embedded = backend.allocate([prompt.count, hidden], .float32)
    let placed = backend.allocate([prompt.count, hidden], .float32)
    backend.embedding(prompt, tokens, into: embedded)
    backend.embedding((0..<Int32(prompt.count)).map { $0 }, places, into: placed)
    var rows = tape.add(Variable(embedded), Variable(placed))
    var before = rows
    for layer in layers {
      before = rows
      rows = forward(layer, rows, tape)
    }
    let last = tape.layerNorm(
      rows, weight: finalNorm.weight, bias: finalNorm.bias, epsilon: epsilon)
    let end = endPlace(prompt)
    let pooled = Variable(last.value.rows(end..<end + 1))
    let whole = projection.map { tape.linears(pooled, [$0], dtype: .float32)[0] } ?? pooled
    backend.synchronize()
    return CLIPEmbedding(penultimate: before.value.floats(), pooled: whole.value.floats())
  }

  private func forward(_ layer: Layer, _ rows: Variable, _ tape: Tape) -> Variable {
    func norm(_ rows: Variable, _ norm: (weight: Tensor, bias: Tensor)) -> Variable {
      tape.layerNorm(rows, weight: norm.weight, bias: norm.bias, epsilon: epsilon)
    }
    let parts = tape.linears(
      norm(rows, layer.attentionNorm), [layer.query, layer.key, layer.value], dtype: .float32)
    let attended = tape.attention(
      query: parts[0], key: parts[1], value: parts[2], layout: attention,
      bounds: [0, rows.value.shape[0]])
    let middle = tape.add(rows, tape.linears(attended, [layer.output], dtype: .float32)[0])
    let expanded = tape.linears(norm(middle, layer.mlpNorm), [layer.up], dtype: .float32)[0]
    let active =
      isQuick ? tape.apply(.geluSigmoid, to: expanded) : tape.activate(expanded, nil, .gelu)
    return tape.add(middle, tape.linears(active, [layer.down], dtype: .float32)[0])
  }

  /// The token whose state stands for the text.
  private func endPlace(_ prompt: [Int32]) -> Int {
    let usual = 2
    if endToken == usual, let largest = prompt.max() { return prompt.firstIndex(of: largest) ?? 0 }
    return prompt.firstIndex(of: Int32(endToken)) ?? 0
  }
}
