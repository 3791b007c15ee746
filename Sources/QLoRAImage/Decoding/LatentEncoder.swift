// The encoder of AutoencoderKL as forward code: pixels to the latents that transformers are trained
// on.
// Source: Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models",
// arXiv:2112.10752, section 3.1 and appendix G.
import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

package struct LatentEncoder {
  private struct Stage {
    var layers: [PixelResidual]
    /// Behind it a picture has half the size; nil in the last stage.
    var halving: Convolution?
  }

  private let backend: any Backend
  private let input: Convolution
  private let stages: [Stage]
  private let middle: PixelMiddle
  private let outputNorm: PixelNorm
  private let output: Convolution
  private let last: Convolution?
  private let scaling: LatentScaling
  package let latentChannels: Int

  /// - Parameter computeDType: as of `LatentDecoder`.
  /// - Throws: `imageModelUnknown`, `imageConfigInvalid`; a diagnostic that names the tensor at
  ///   fault.
  package init(
    _ folder: PartFolder, backend: any Backend, computeDType: DType = .float32
  ) throws {
    self.backend = backend
    let parts = try PixelParts(folder, backend: backend, computeDType: computeDType)
    let (config, widths, loader) = (parts.config, parts.widths, parts.loader)
    latentChannels = parts.latentChannels
    scaling = parts.scaling
    let depth = try config.count("layers_per_block", default: 1)
    let prefix = "encoder."
    input = try Convolution(prefix + "conv_in", widths[0], 3, size: 3, loader)
    var before = widths[0]
    stages = try widths.enumerated().map { index, width in
      let module = "\(prefix)down_blocks.\(index)."
      let layers = try (0..<depth).map {
        try parts.residual("\(module)resnets.\($0)", width, $0 == 0 ? before : width)
      }
      before = width
      return Stage(
        layers: layers,
        halving: index == widths.count - 1
          ? nil : try Convolution(module + "downsamplers.0.conv", width, width, size: 3, loader))
    }
    middle = try parts.middle(prefix + "mid_block.", before)
    outputNorm = try parts.norm(prefix + "conv_norm_out", before)
    // Means and logarithms of variances, of which the means are used.
    let channels = 2 * latentChannels
    output = try Convolution(prefix + "conv_out", channels, before, size: 3, loader)
    last =
      try config.flag("use_quant_conv", default: true)
      ? try Convolution("quant_conv", channels, channels, size: 1, loader) : nil
  }

  /// - Parameter pixels: `[height · width, 3]` from -1 to 1, sides as the stages halve them.
  /// - Returns: `[channels, height, width]` of the latents' size, shifted and scaled: the mean of
  ///   what the picture may be.
  /// - Throws: what `ScoredAttention` throws.
  package func encode(_ pixels: [Float], height: Int, width: Int) throws -> [Float] {
    var image = PixelRows(
      values: Tensor(pixels, shape: [height * width, 3]), height: height, width: width)
    image = input.apply(image, on: backend)
    for stage in stages {
      for layer in stage.layers { image = layer.forward(image, on: backend) }
      if let halving = stage.halving { image = halving.apply(image, stride: 2, on: backend) }
    }
    image = try middle.forward(image, on: backend)
    image = output.apply(outputNorm.apply(image, activating: true, on: backend), on: backend)
    if let last { image = last.apply(image, on: backend) }
    backend.synchronize()
    let (rows, area) = (image.values.floats(), image.height * image.width)
    return (0..<latentChannels * area).map { index in
      let (channel, place) = index.quotientAndRemainder(dividingBy: area)
      return (rows[place * 2 * latentChannels + channel] - scaling.shift) * scaling.factor
    }
  }
}
