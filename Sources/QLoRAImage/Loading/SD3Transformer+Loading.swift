// The transformer of Stable Diffusion 3 from a folder of diffusers.
import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

extension SD3Transformer {
  /// - Throws: `imageConfigInvalid`.
  static func size(_ config: PartConfig) throws -> ImageModelSize {
    let channels = try config.count("in_channels", default: 16)
    guard try config.count("out_channels", default: channels) == channels else {
      throw config.failure("out_channels", "in_channels")
    }
    return ImageModelSize(
      channels: channels, patchEdge: try config.count("patch_size", 1...16),
      promptWidth: try config.count("joint_attention_dim"),
      pooledWidth: try config.count("pooled_projection_dim"), outputOrder: .channelsLast,
      largestGrid: try config.count("pos_embed_max_size", 1...4096), embedsGuidance: false)
  }

  /// - Throws: `imageConfigInvalid`; a diagnostic that names the tensor at fault.
  static func load(
    _ loader: PartLoader, progress: (Double) throws -> Void
  ) throws -> (SD3Transformer, LinearTable) {
    let config = PartConfig(loader.folder)
    let heads = try config.count("num_attention_heads")
    let headSize = try config.count("attention_head_dim", 8...256)
    guard headSize % 8 == 0 else {
      throw config.failure("attention_head_dim", "a multiple of 8")
    }
    let hidden = heads * headSize
    guard try config.count("caption_projection_dim") == hidden else {
      throw config.failure("caption_projection_dim", "num_attention_heads · attention_head_dim")
    }
    let size = try size(config)
    let (channels, edge) = (size.channels, size.patchEdge)
    let placesEdge = try config.count("pos_embed_max_size", 1...4096)
    let norm = try config.word("qk_norm", of: ["rms_norm"])
    var parts = TransformerParts(
      loader: loader, hidden: hidden,
      attention: AttentionLayout(
        heads: heads, kvHeads: heads, headSize: headSize, scale: 1 / Float(headSize).squareRoot(),
        isCausal: false), hasNorms: norm != nil)
    let condition = try parts.condition(size)
    let promptEmbedder = try parts.linear("context_embedder", hidden, size.promptWidth)
    let patchEmbedder = try parts.patchEmbedder("pos_embed.proj", channels: channels, edge: edge)
    let dual = Set(try config.counts("dual_attention_layers", default: []))
    let count = try config.count("num_layers", 1...1000)
    var joint: [JointBlock] = []
    for index in 0..<count {
      joint.append(
        try parts.jointBlock(
          "transformer_blocks.\(index).", imageStream: 0, isLast: index == count - 1,
          hasSecond: dual.contains(index)))
      try progress(Double(index + 1) / Double(count))
    }
    let places = try loader.tensor(
      "pos_embed.pos_embed", [1, placesEdge * placesEdge, hidden])
    let transformer = SD3Transformer(
      size: size, condition: condition, promptEmbedder: promptEmbedder,
      patchEmbedder: patchEmbedder,
      places: places.reshaped([placesEdge * placesEdge, hidden]), placesEdge: placesEdge,
      joint: joint,
      outputModulation: try parts.linear("norm_out.linear", 2 * hidden, hidden),
      output: try parts.linear("proj_out", channels * edge * edge, hidden))
    return (transformer, parts.linears)
  }
}
