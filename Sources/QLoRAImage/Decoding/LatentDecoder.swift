// The decoder of AutoencoderKL as forward code: latents to pixels.
// Source: Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models",
// arXiv:2112.10752, section 3.1 and appendix G.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

package struct LatentDecoder {
  private struct Stage {
    var layers: [PixelResidual]
    /// Behind an enlargement to twice the size; nil in the last stage.
    var enlarging: Convolution?
  }

  private let backend: any Backend
  private let first: Convolution?
  private let input: Convolution
  private let middle: PixelMiddle
  private let stages: [Stage]
  private let outputNorm: PixelNorm
  private let output: Convolution
  private let scaling: LatentScaling
  package let latentChannels: Int

  /// How many pixels a latent is wide.
  /// - Throws: `imageConfigInvalid`.
  package static func enlargement(_ folder: PartFolder) throws -> Int {
    let stages = try PartConfig(folder).counts("block_out_channels", default: [64]).count
    return 1 << max(0, stages - 1)
  }

  /// - Parameter computeDType: of products; sums, residuals and norms are float32. Half precision
  ///   has too small a range for this part and counts as float32.
  /// - Throws: `imageModelUnknown`, `imageConfigInvalid`; a diagnostic that names the tensor at
  ///   fault.
  package init(
    _ folder: PartFolder, backend: any Backend, computeDType: DType = .float32
  ) throws {
    self.backend = backend
    let parts = try PixelParts(folder, backend: backend, computeDType: computeDType)
    let (config, widths, loader) = (parts.config, parts.widths, parts.loader)
    let channels = parts.latentChannels
    latentChannels = channels
    scaling = parts.scaling
    let depth = try config.count("layers_per_block", default: 1) + 1
    let prefix = "decoder."
    let widest = widths[widths.count - 1]
    first =
      try config.flag("use_post_quant_conv", default: true)
      ? try Convolution("post_quant_conv", channels, channels, size: 1, loader) : nil
    input = try Convolution(prefix + "conv_in", widest, channels, size: 3, loader)
    middle = try parts.middle(prefix + "mid_block.", widest)
    var before = widest
    stages = try widths.reversed().enumerated().map { index, width in
      let module = "\(prefix)up_blocks.\(index)."
      let layers = try (0..<depth).map {
        try parts.residual("\(module)resnets.\($0)", width, $0 == 0 ? before : width)
      }
      before = width
      return Stage(
        layers: layers,
        enlarging: index == widths.count - 1
          ? nil : try Convolution(module + "upsamplers.0.conv", width, width, size: 3, loader))
    }
    outputNorm = try parts.norm(prefix + "conv_norm_out", before)
    // Pictures have three channels.
    output = try Convolution(prefix + "conv_out", 3, before, size: 3, loader)
  }

  /// - Parameter latents: `[channels, height, width]`, as transformers of images give them.
  /// - Returns: `[height · width, 3]`, from -1 to 1 and a little beyond.
  /// - Throws: what `ScoredAttention` throws.
  package func decode(_ latents: [Float], height: Int, width: Int) throws -> Picture {
    let area = height * width
    let values = (0..<area * latentChannels).map {
      latents[$0 % latentChannels * area + $0 / latentChannels] / scaling.factor + scaling.shift
    }
    var image = PixelRows(
      values: Tensor(values, shape: [area, latentChannels]), height: height, width: width)
    if let first { image = first.apply(image, on: backend) }
    image = input.apply(image, on: backend)
    image = try middle.forward(image, on: backend)
    for stage in stages {
      for layer in stage.layers { image = layer.forward(image, on: backend) }
      if let enlarging = stage.enlarging {
        image = enlarging.apply(image, enlargement: 2, on: backend)
      }
    }
    image = outputNorm.apply(image, activating: true, on: backend)
    image = output.apply(image, on: backend)
    backend.synchronize()
    return Picture(height: image.height, width: image.width, values: image.values.floats())
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
