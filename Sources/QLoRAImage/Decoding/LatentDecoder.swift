// The decoder of AutoencoderKL as forward code: latents to pixels.
// Source: Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models",
// arXiv:2112.10752, section 3.1 and appendix G.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

package struct LatentDecoder {
  static let className = "AutoencoderKL"

  private struct ResidualLayer {
    var norms: [PixelNorm]
    var convolutions: [Convolution]
    /// nil where input and output have as many channels.
    var shortcut: Convolution?
  }

  private struct Stage {
    var layers: [ResidualLayer]
    /// Behind an enlargement to twice the size; nil in the last stage.
    var enlarging: Convolution?
  }

  private struct Attention {
    var norm: PixelNorm
    var query: AdaptedLinear
    var key: AdaptedLinear
    var value: AdaptedLinear
    var output: AdaptedLinear
  }

  private let backend: any Backend
  private let first: Convolution?
  private let input: Convolution
  private let middle: [ResidualLayer]
  private let attention: Attention?
  private let stages: [Stage]
  private let outputNorm: PixelNorm
  private let output: Convolution
  private let scale: Float
  private let shift: Float
  package let latentChannels: Int

  /// How many pixels a latent is wide.
  /// - Throws: `imageConfigInvalid`.
  package static func enlargement(_ folder: PartFolder) throws -> Int {
    let stages = try PartConfig(folder).counts("block_out_channels", default: [64]).count
    return 1 << max(0, stages - 1)
  }

  /// - Throws: `imageModelUnknown`, `imageConfigInvalid`; a diagnostic that names the tensor at
  ///   fault.
  package init(_ folder: PartFolder, backend: any Backend) throws {
    guard folder.className == Self.className else {
      throw Diagnostic(
        .imageModelUnknown, "\"\(folder.className ?? "nothing")\" is no \(Self.className)",
        at: .file(folder.configPath))
    }
    self.backend = backend
    // Convolutions and the few linears stay as they are: diffusers quantizes none of them either.
    let loader = try PartLoader(
      folder, backend: backend,
      options: LoadOptions(quantization: nil, computeDType: .float32))
    let config = PartConfig(folder)
    let widths = try config.counts("block_out_channels", default: [64])
    guard let widest = widths.last, !widths.contains(0) else {
      throw config.failure("block_out_channels", "a list of positive integers")
    }
    let groups = try config.count("norm_num_groups", default: 32)
    guard widths.allSatisfy({ $0 % groups == 0 }) else {
      throw config.failure("norm_num_groups", "a divisor of every number of block_out_channels")
    }
    let channels = try config.count("latent_channels", default: 4)
    latentChannels = channels
    scale = Float(try config.number("scaling_factor", default: 0.18215))
    shift = Float(try config.number("shift_factor", default: 0))
    let depth = try config.count("layers_per_block", default: 1) + 1
    let prefix = "decoder."
    first =
      try config.flag("use_post_quant_conv", default: true)
      ? try Convolution("post_quant_conv", channels, channels, size: 1, loader) : nil
    input = try Convolution(prefix + "conv_in", widest, channels, size: 3, loader)
    func layer(_ module: String, _ out: Int, _ into: Int) throws -> ResidualLayer {
      ResidualLayer(
        norms: [
          try PixelNorm(module + ".norm1", into, groups: groups, loader),
          try PixelNorm(module + ".norm2", out, groups: groups, loader),
        ],
        convolutions: [
          try Convolution(module + ".conv1", out, into, size: 3, loader),
          try Convolution(module + ".conv2", out, out, size: 3, loader),
        ],
        shortcut: out == into
          ? nil : try Convolution(module + ".conv_shortcut", out, into, size: 1, loader))
    }
    middle = try (0..<2).map { try layer("\(prefix)mid_block.resnets.\($0)", widest, widest) }
    attention =
      try config.flag("mid_block_add_attention", default: true)
      ? try Self.attention(prefix + "mid_block.attentions.0.", widest, groups, loader) : nil
    var before = widest
    stages = try widths.reversed().enumerated().map { index, width in
      let module = "\(prefix)up_blocks.\(index)."
      let layers = try (0..<depth).map {
        try layer("\(module)resnets.\($0)", width, $0 == 0 ? before : width)
      }
      before = width
      return Stage(
        layers: layers,
        enlarging: index == widths.count - 1
          ? nil : try Convolution(module + "upsamplers.0.conv", width, width, size: 3, loader))
    }
    outputNorm = try PixelNorm(prefix + "conv_norm_out", before, groups: groups, loader)
    // Pictures have three channels.
    output = try Convolution(prefix + "conv_out", 3, before, size: 3, loader)
  }

  private static func attention(
    _ prefix: String, _ width: Int, _ groups: Int, _ loader: PartLoader
  ) throws -> Attention {
    Attention(
      norm: try PixelNorm(prefix + "group_norm", width, groups: groups, loader),
      query: try loader.linear(prefix + "to_q", width, width),
      key: try loader.linear(prefix + "to_k", width, width),
      value: try loader.linear(prefix + "to_v", width, width),
      output: try loader.linear(prefix + "to_out.0", width, width))
  }

  /// - Parameter latents: `[channels, height, width]`, as transformers of images give them.
  /// - Returns: `[height · width, 3]`, from -1 to 1 and a little beyond.
  /// - Throws: what `ScoredAttention` throws.
  package func decode(_ latents: [Float], height: Int, width: Int) throws -> Picture {
    let area = height * width
    let values = (0..<area * latentChannels).map {
      latents[$0 % latentChannels * area + $0 / latentChannels] / scale + shift
    }
    var image = PixelRows(
      values: Tensor(values, shape: [area, latentChannels]), height: height, width: width)
    if let first { image = first.apply(image, on: backend) }
    image = input.apply(image, on: backend)
    image = forward(middle[0], image)
    if let attention { image = try attend(attention, image) }
    image = forward(middle[1], image)
    for stage in stages {
      for layer in stage.layers { image = forward(layer, image) }
      if let enlarging = stage.enlarging {
        image = enlarging.apply(image, enlargement: 2, on: backend)
      }
    }
    image = outputNorm.apply(image, activating: true, on: backend)
    image = output.apply(image, on: backend)
    backend.synchronize()
    return Picture(height: image.height, width: image.width, values: image.values.floats())
  }

  private func forward(_ layer: ResidualLayer, _ image: PixelRows) -> PixelRows {
    var hidden = image
    for (norm, convolution) in zip(layer.norms, layer.convolutions) {
      hidden = convolution.apply(norm.apply(hidden, activating: true, on: backend), on: backend)
    }
    let residual = layer.shortcut?.apply(image, on: backend) ?? image
    backend.add(residual.values, hidden.values, into: hidden.values)
    return hidden
  }

  private func attend(_ attention: Attention, _ image: PixelRows) throws -> PixelRows {
    let tape = Tape(backend: backend, isRecording: false)
    let rows = attention.norm.apply(image, activating: false, on: backend)
    let parts = tape.linears(
      Variable(rows.values), [attention.query, attention.key, attention.value], dtype: .float32)
    let scored = ScoredAttention(
      backend: backend, heads: 1, headSize: image.channels,
      scale: 1 / Float(image.channels).squareRoot())
    let attended = try scored.attend(parts[0].value, parts[1].value, parts[2].value)
    let output = tape.linears(Variable(attended), [attention.output], dtype: .float32)[0]
    let sum = tape.add(Variable(image.values), output)
    return PixelRows(values: sum.value, height: image.height, width: image.width)
  }
}

/// A picture as it comes out of a decoder.
package struct Picture: Sendable {
  package let height: Int
  package let width: Int
  /// `[height · width, 3]`, from -1 to 1 and a little beyond.
  package let values: [Float]

  /// Red, green and blue of each pixel, row by row.
  package var bytes: [UInt8] {
    // As diffusers rounds: to the nearest, halves to even.
    values.map { UInt8((min(max($0 / 2 + 0.5, 0), 1) * 255).rounded(.toNearestOrEven)) }
  }
}
