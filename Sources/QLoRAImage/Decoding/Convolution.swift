// A convolution over rows of pixels, and the norm before it.
import QLoRATensor

/// An image as rows of pixels.
struct PixelRows {
  /// `[height · width, channels]`, float32 but between a norm and its convolution.
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

  /// The type that windows and weights are multiplied in; sums are float32.
  private let dtype: DType

  /// - Throws: a diagnostic that names the tensor at fault.
  init(
    _ module: String, _ outChannels: Int, _ inChannels: Int, size: Int, _ loader: PartLoader
  ) throws {
    let file = try loader.tensor(
      module + ".weight", [outChannels, inChannels, size, size]
    ).floats()
    dtype = loader.options.computeDType
    let builder = try loader.backend.makeWeightBuilder(
      outFeatures: outChannels, inFeatures: size * size * inChannels, .dense(dtype))
    // The file has channel, row, column; windows have row, column, channel.
    let area = size * size
    var row = [Float](repeating: 0, count: area * inChannels)
    for out in 0..<outChannels {
      for channel in 0..<inChannels {
        let first = (out * inChannels + channel) * area
        for place in 0..<area { row[place * inChannels + channel] = file[first + place] }
      }
      try row.withUnsafeBufferPointer { try builder.append($0) }
    }
    weight = try builder.finish()
    bias = try loader.vectorIfPresent(module + ".bias", outChannels)
    self.size = size
  }

  /// - Parameters:
  ///   - stride: 2 takes every second place in rows and columns, the first at the very edge.
  ///   - enlargement: each pixel of the input counts as a square of so many.
  func apply(
    _ image: PixelRows, stride: Int = 1, enlargement: Int = 1, on backend: any Backend
  ) -> PixelRows {
    let window = ImageWindow(
      height: image.height * enlargement, width: image.width * enlargement,
      channels: image.channels, size: size, padding: stride == 1 ? size / 2 : 0, stride: stride,
      enlargement: enlargement)
    let (height, width) = window.places
    var input = image.values
    if input.dtype != dtype {
      input = backend.allocate(input.shape, dtype)
      backend.convert(image.values, into: input)
    }
    let output = backend.allocate([height * width, weight.outFeatures], .float32)
    backend.convolve(input, window, weight: weight, bias: bias, into: output)
    return PixelRows(values: output, height: height, width: width)
  }
}

/// The norm over groups of channels, with or without SiLU behind it.
struct PixelNorm: Sendable {
  private let weight: Tensor
  private let bias: Tensor
  private let groups: Int
  private let dtype: DType

  /// That of every norm of the decoder.
  private static let epsilon: Float = 1e-6

  init(_ module: String, _ channels: Int, groups: Int, _ loader: PartLoader) throws {
    weight = try loader.vector(module + ".weight", channels)
    bias = try loader.vector(module + ".bias", channels)
    self.groups = groups
    dtype = loader.options.computeDType
  }

  /// In the type that the convolution behind it multiplies in.
  func apply(_ image: PixelRows, activating: Bool, on backend: any Backend) -> PixelRows {
    let output = backend.allocate(image.values.shape, dtype)
    backend.groupNorm(
      image.values, groups: groups, weight: weight, bias: bias, epsilon: Self.epsilon,
      activates: activating, into: output)
    return PixelRows(values: output, height: image.height, width: image.width)
  }
}
