// What the folders of both families of transformers name alike: blocks, conditions, embedders.
import QLoRATensor

struct TransformerParts {
  let loader: PartLoader
  let hidden: Int
  let attention: AttentionLayout
  /// Whether queries and keys have norms.
  let hasNorms: Bool
  private(set) var linears = LinearTable()

  init(loader: PartLoader, hidden: Int, attention: AttentionLayout, hasNorms: Bool) {
    self.loader = loader
    self.hidden = hidden
    self.attention = attention
    self.hasNorms = hasNorms
  }

  mutating func linear(
    _ module: String, _ outFeatures: Int, _ inFeatures: Int
  ) throws -> LinearPlace {
    linears.add(try loader.linear(module, outFeatures, inFeatures))
  }

  /// A convolution whose windows are the patches, as the linear over a patch that it is.
  mutating func patchEmbedder(
    _ module: String, channels: Int, edge: Int
  ) throws -> LinearPlace {
    let weight = try loader.matrix(
      module + ".weight", [hidden, channels * edge * edge],
      stored: [hidden, channels, edge, edge])
    let bias = try loader.vectorIfPresent(module + ".bias", hidden)
    return linears.add(AdaptedLinear(name: module, weight: weight, bias: bias))
  }

  mutating func condition(_ size: ImageModelSize) throws -> Condition {
    let prefix = "time_text_embed."
    let guidance =
      size.embedsGuidance
      ? try layers(prefix + "guidance_embedder", Condition.waves) : nil
    return Condition(
      time: try layers(prefix + "timestep_embedder", Condition.waves), guidance: guidance,
      prompt: try layers(prefix + "text_embedder", size.pooledWidth))
  }

  private mutating func layers(_ module: String, _ width: Int) throws -> ConditionLayers {
    ConditionLayers(
      first: try linear(module + ".linear_1", hidden, width),
      second: try linear(module + ".linear_2", hidden, hidden))
  }

  /// - Parameters:
  ///   - imageStream: the image's place among the streams of the attention.
  ///   - isLast: whether nothing of the text is used after the block.
  ///   - hasSecond: whether the image attends to itself once more.
  mutating func jointBlock(
    _ prefix: String, imageStream: Int, isLast: Bool, hasSecond: Bool = false
  ) throws -> JointBlock {
    let second =
      hasSecond
      ? JointStream.Second(
        inputs: try inputs(prefix + "attn2.", "to_q", "to_k", "to_v", norms: "norm_q", "norm_k"),
        output: try linear(prefix + "attn2.to_out.0", hidden, hidden)) : nil
    let image = JointStream(
      modulation: try linear(prefix + "norm1.linear", (hasSecond ? 9 : 6) * hidden, hidden),
      inputs: try inputs(prefix + "attn.", "to_q", "to_k", "to_v", norms: "norm_q", "norm_k"),
      rest: try rest(prefix, "attn.to_out.0", "ff"), second: second)
    let text = JointStream(
      modulation: try linear(
        prefix + "norm1_context.linear", (isLast ? 2 : 6) * hidden, hidden),
      inputs: try inputs(
        prefix + "attn.", "add_q_proj", "add_k_proj", "add_v_proj", norms: "norm_added_q",
        "norm_added_k"),
      rest: isLast ? nil : try rest(prefix, "attn.to_add_out", "ff_context"))
    return JointBlock(text: text, image: image, attention: attention, imageStream: imageStream)
  }

  mutating func singleBlock(_ prefix: String) throws -> SingleBlock {
    SingleBlock(
      modulation: try linear(prefix + "norm.linear", 3 * hidden, hidden),
      inputs: try inputs(prefix + "attn.", "to_q", "to_k", "to_v", norms: "norm_q", "norm_k"),
      up: try linear(prefix + "proj_mlp", Self.expansion * hidden, hidden),
      output: try linear(prefix + "proj_out", hidden, (1 + Self.expansion) * hidden),
      attention: attention)
  }

  /// How much wider the MLPs are; neither family has another number.
  private static let expansion = 4

  private mutating func inputs(
    _ prefix: String, _ query: String, _ key: String, _ value: String, norms queryNorm: String,
    _ keyNorm: String
  ) throws -> AttentionInputs {
    let width = attention.headSize
    return AttentionInputs(
      query: try linear(prefix + query, hidden, hidden),
      key: try linear(prefix + key, hidden, hidden),
      value: try linear(prefix + value, hidden, hidden),
      queryNorm: hasNorms ? try loader.vector("\(prefix)\(queryNorm).weight", width) : nil,
      keyNorm: hasNorms ? try loader.vector("\(prefix)\(keyNorm).weight", width) : nil)
  }

  private mutating func rest(
    _ prefix: String, _ output: String, _ mlp: String
  ) throws -> JointStream.Rest {
    JointStream.Rest(
      attentionOutput: try linear(prefix + output, hidden, hidden),
      up: try linear("\(prefix)\(mlp).net.0.proj", Self.expansion * hidden, hidden),
      down: try linear("\(prefix)\(mlp).net.2", hidden, Self.expansion * hidden))
  }
}
