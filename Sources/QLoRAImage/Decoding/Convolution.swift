// A convolution over rows of pixels: what its windows see, times a matrix.
// Source: Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document
// Processing", section 3, for the unrolling.
import QLoRATensor

/// An image as rows of pixels.
struct PixelRows {
  /// `[height · width, channels]` float32.
  var values: Tensor
  var height: Int
  var width: Int

  var channels: Int { values.shape[1] }
}

struct Convolution: Sendable {
  private let weight: any PreparedWeight
  private let bias: Tensor?
  /// Edge of the window: 3 with one pixel of padding, or 1.
  private let size: Int

  /// Bytes of unrolled windows that exist at once.
  private static let unrolledBytes = 64 << 20

  /// - Throws: a diagnostic that names the tensor at fault.
  init(
    _ module: String, _ outChannels: Int, _ inChannels: Int, size: Int, _ loader: PartLoader
  ) throws {
    let file = try loader.tensor(module + ".weight", [outChannels, inChannels, size, size])
    let builder = try loader.backend.makeWeightBuilder(
      outFeatures: outChannels, inFeatures: size * size * inChannels, .dense(.float32))
    // The file has channel, row, column; windows have row, column, channel.
    let area = size * size
    let count = area * inChannels
    for out in 0..<outChannels {
      let row = (0..<count).map { index in
        file[flat: out * count + index % inChannels * area + index / inChannels]
      }
      try row.withUnsafeBufferPointer { try builder.append($0) }
    }
    weight = try builder.finish()
    bias = try loader.vectorIfPresent(module + ".bias", outChannels)
    self.size = size
  }

  /// - Parameter enlargement: each pixel of the input counts as a square of so many.
  func apply(
    _ image: PixelRows, enlargement: Int = 1, on backend: any Backend
  ) -> PixelRows {
    let (height, width) = (image.height * enlargement, image.width * enlargement)
    let window = ImageWindow(
      height: height, width: width, channels: image.channels, size: size, padding: size / 2,
      enlargement: enlargement)
    let output = backend.allocate([height * width, weight.outFeatures], .float32)
    let atOnce = max(1, Self.unrolledBytes / (weight.inFeatures * 4))
    for start in stride(from: 0, to: height * width, by: atOnce) {
      let pixels = start..<min(height * width, start + atOnce)
      let unrolled = backend.allocate([pixels.count, weight.inFeatures], .float32)
      backend.windows(image.values, window, pixels: pixels, into: unrolled)
      backend.linear(
        unrolled,
        [
          LinearTerm(weight: weight, bias: bias, output: output.rows(pixels), isInference: true)
        ])
    }
    return PixelRows(values: output, height: height, width: width)
  }
}

/// The norm over groups of channels, with or without SiLU behind it.
struct PixelNorm: Sendable {
  private let weight: Tensor
  private let bias: Tensor
  private let groups: Int

  /// That of every norm of the decoder.
  private static let epsilon: Float = 1e-6

  init(_ module: String, _ channels: Int, groups: Int, _ loader: PartLoader) throws {
    weight = try loader.vector(module + ".weight", channels)
    bias = try loader.vector(module + ".bias", channels)
    self.groups = groups
  }

  func apply(_ image: PixelRows, activating: Bool, on backend: any Backend) -> PixelRows {
    let output = backend.allocate(image.values.shape, .float32)
    backend.groupNorm(
      image.values, groups: groups, weight: weight, bias: bias, epsilon: Self.epsilon,
      into: output)
    if activating { backend.apply(.silu, to: output, into: output) }
    return PixelRows(values: output, height: image.height, width: image.width)
  }
}
