// What encoder and decoder of AutoencoderKL are made of alike: residual layers, the middle with its
// attention, and the configuration of both.
// Source: Rombach et al. 2022, arXiv:2112.10752, section 3.1 and appendix G.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

/// Latents for a transformer are (latents − shift) · factor.
struct LatentScaling: Sendable {
  var factor: Float
  var shift: Float
}

struct PixelParts {
  private static let className = "AutoencoderKL"

  let loader: PartLoader
  let config: PartConfig
  /// Channels of each stage, that of whole pictures first; at least one.
  let widths: [Int]
  let latentChannels: Int
  let scaling: LatentScaling
  private let groups: Int

  /// - Parameter computeDType: of products; sums, residuals and norms are float32. Half precision
  ///   has too small a range for this part and counts as float32.
  /// - Throws: `imageModelUnknown`, `imageConfigInvalid`.
  init(_ folder: PartFolder, backend: any Backend, computeDType: DType) throws {
    guard folder.className == Self.className else {
      throw Diagnostic(
        .imageModelUnknown, "\"\(folder.className ?? "nothing")\" is no \(Self.className)",
        at: .file(folder.configPath))
    }
    // Convolutions and the few linears stay as they are: diffusers quantizes none of them either.
    loader = try PartLoader(
      folder, backend: backend,
      options: LoadOptions(
        quantization: nil, computeDType: computeDType == .bfloat16 ? .bfloat16 : .float32))
    config = PartConfig(folder)
    widths = try config.counts("block_out_channels", default: [64])
    guard !widths.isEmpty, !widths.contains(0) else {
      throw config.failure("block_out_channels", "a list of positive integers")
    }
    let groups = try config.count("norm_num_groups", default: 32)
    guard widths.allSatisfy({ $0 % groups == 0 }) else {
      throw config.failure("norm_num_groups", "a divisor of every number of block_out_channels")
    }
    self.groups = groups
    latentChannels = try config.count("latent_channels", default: 4)
    scaling = LatentScaling(
      factor: Float(try config.number("scaling_factor", default: 0.18215)),
      shift: Float(try config.number("shift_factor", default: 0)))
  }

  func norm(_ module: String, _ channels: Int) throws -> PixelNorm {
    try PixelNorm(module, channels, groups: groups, loader)
  }

  func residual(_ module: String, _ out: Int, _ into: Int) throws -> PixelResidual {
    PixelResidual(
      norms: [try norm(module + ".norm1", into), try norm(module + ".norm2", out)],
      convolutions: [
        try Convolution(module + ".conv1", out, into, size: 3, loader),
        try Convolution(module + ".conv2", out, out, size: 3, loader),
      ],
      shortcut: out == into
        ? nil : try Convolution(module + ".conv_shortcut", out, into, size: 1, loader))
  }

  func middle(_ module: String, _ width: Int) throws -> PixelMiddle {
    let attends = try config.flag("mid_block_add_attention", default: true)
    return PixelMiddle(
      first: try residual(module + "resnets.0", width, width),
      attention: attends ? try attention(module + "attentions.0.", width) : nil,
      second: try residual(module + "resnets.1", width, width))
  }

  private func attention(_ prefix: String, _ width: Int) throws -> PixelAttention {
    PixelAttention(
      norm: try norm(prefix + "group_norm", width),
      query: try loader.linear(prefix + "to_q", width, width),
      key: try loader.linear(prefix + "to_k", width, width),
      value: try loader.linear(prefix + "to_v", width, width),
      output: try loader.linear(prefix + "to_out.0", width, width))
  }
}

struct PixelResidual {
  var norms: [PixelNorm]
  var convolutions: [Convolution]
  /// nil where input and output have as many channels.
  var shortcut: Convolution?

  func forward(_ image: PixelRows, on backend: any Backend) -> PixelRows {
    var hidden = image
    for (norm, convolution) in zip(norms, convolutions) {
      hidden = convolution.apply(norm.apply(hidden, activating: true, on: backend), on: backend)
    }
    let residual = shortcut?.apply(image, on: backend) ?? image
    backend.add(residual.values, hidden.values, into: hidden.values)
    return hidden
  }
}

struct PixelMiddle {
  var first: PixelResidual
  var attention: PixelAttention?
  var second: PixelResidual

  /// - Throws: what `ScoredAttention` throws.
  func forward(_ image: PixelRows, on backend: any Backend) throws -> PixelRows {
    let hidden = first.forward(image, on: backend)
    return second.forward(try attention?.forward(hidden, on: backend) ?? hidden, on: backend)
  }
}

/// Attention of all pixels to each other, by one head.
struct PixelAttention {
  var norm: PixelNorm
  var query: AdaptedLinear
  var key: AdaptedLinear
  var value: AdaptedLinear
  var output: AdaptedLinear

  /// - Throws: what `ScoredAttention` throws.
  func forward(_ image: PixelRows, on backend: any Backend) throws -> PixelRows {
    let tape = Tape(backend: backend, isRecording: false)
    let rows = norm.apply(image, activating: false, on: backend).values
    let parts = tape.linears(Variable(rows), [query, key, value], dtype: rows.dtype)
    let scored = ScoredAttention(
      backend: backend, heads: 1, headSize: image.channels,
      scale: 1 / Float(image.channels).squareRoot())
    let attended = try scored.attend(parts[0].value, parts[1].value, parts[2].value)
    let projected = tape.linears(Variable(attended), [output], dtype: .float32)[0]
    let sum = tape.add(Variable(image.values), projected)
    return PixelRows(values: sum.value, height: image.height, width: image.width)
  }
}
