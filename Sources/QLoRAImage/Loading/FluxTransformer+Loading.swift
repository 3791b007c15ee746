// FLUX.1's transformer from a folder of diffusers.
import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

extension FluxTransformer {
  /// - Throws: `imageConfigInvalid`.
  static func size(_ config: PartConfig) throws -> ImageModelSize {
    let width = try config.count("in_channels", default: 64)
    guard try config.count("out_channels", default: width) == width, width % 4 == 0 else {
      throw config.failure("out_channels", "in_channels, a multiple of 4")
    }
    // A row of the transformer is a square of two by two latents.
    return ImageModelSize(
      channels: width / 4, patchEdge: 2, promptWidth: try config.count("joint_attention_dim"),
      pooledWidth: try config.count("pooled_projection_dim"), outputOrder: .channelsFirst,
      largestGrid: nil, embedsGuidance: try config.flag("guidance_embeds", default: false))
  }

  /// - Throws: `imageConfigInvalid`; a diagnostic that names the tensor at fault.
  static func load(
    _ loader: PartLoader, progress: (Double) throws -> Void
  ) throws -> (FluxTransformer, LinearTable) {
    let config = PartConfig(loader.folder)
    let heads = try config.count("num_attention_heads")
    let headSize = try config.count("attention_head_dim", 8...256)
    let axes = try config.counts("axes_dims_rope", default: [16, 56, 56])
    guard headSize % 8 == 0, axes.count == 3, axes.reduce(0, +) == headSize,
      axes.allSatisfy({ $0 % 2 == 0 })
    else {
      throw config.failure(
        "axes_dims_rope", "three even numbers whose sum is attention_head_dim, a multiple of 8")
    }
    guard try config.count("patch_size", default: 1) == 1 else {
      throw config.failure("patch_size", "1")
    }
    let (jointCount, singleCount) = (
      try config.count("num_layers", 0...1000), try config.count("num_single_layers", 0...1000)
    )
    let size = try size(config)
    let width = size.channels * size.patchEdge * size.patchEdge
    var parts = TransformerParts(
      loader: loader, hidden: heads * headSize,
      attention: AttentionLayout(
        heads: heads, kvHeads: heads, headSize: headSize, scale: 1 / Float(headSize).squareRoot(),
        isCausal: false), hasNorms: true)
    let condition = try parts.condition(size)
    let promptEmbedder = try parts.linear("context_embedder", parts.hidden, size.promptWidth)
    let patchEmbedder = try parts.linear("x_embedder", parts.hidden, width)
    var joint: [JointBlock] = []
    var single: [SingleBlock] = []
    func report() throws {
      try progress(Double(joint.count + single.count) / Double(max(1, jointCount + singleCount)))
    }
    for index in 0..<jointCount {
      joint.append(
        try parts.jointBlock("transformer_blocks.\(index).", imageStream: 1, isLast: false))
      try report()
    }
    for index in 0..<singleCount {
      single.append(try parts.singleBlock("single_transformer_blocks.\(index)."))
      try report()
    }
    let transformer = FluxTransformer(
      size: size, condition: condition, promptEmbedder: promptEmbedder,
      patchEmbedder: patchEmbedder, joint: joint, single: single,
      outputModulation: try parts.linear("norm_out.linear", 2 * parts.hidden, parts.hidden),
      output: try parts.linear("proj_out", width, parts.hidden), rotaryAxes: axes)
    return (transformer, parts.linears)
  }
}
