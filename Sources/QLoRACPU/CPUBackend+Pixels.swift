// Images as rows of pixels: what a convolution's window sees, and the norm over groups of channels.
import CQLoRAKernels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

// SAFETY: pixels lie inside the input, which the preconditions compare with the window; tasks write
// disjoint rows of the output or of the sums; the tensors outlive the call.
extension CPUBackend {
  package func windows(
    _ input: Tensor, _ window: ImageWindow, pixels: Range<Int>, into output: Tensor
  ) {
    let inputWidth = window.width / window.enlargement
    let pixelBytes = window.channels * input.dtype.byteSize
    let rowBytes = window.size * window.size * pixelBytes
    precondition(input.dtype == output.dtype)
    precondition(
      input.count == window.height / window.enlargement * inputWidth * window.channels)
    precondition(output.byteCount >= pixels.count * rowBytes)
    precondition(pixels.upperBound <= window.places.rows * window.places.columns)
    let (from, to) = (UnsafeRawPointer(input.address(at: 0)), output.address(at: 0))
    runRows(pixels.count, width: window.size * window.size * window.channels) { range in
      for item in range {
        let (row, column) = (pixels.lowerBound + item).quotientAndRemainder(
          dividingBy: window.places.columns)
        var place = to + item * rowBytes
        let first = row * window.stride - window.padding
        for line in first..<first + window.size {
          Self.copyLine(
            window, line: line, column: column * window.stride - window.padding, pixelBytes,
            from: from + line / window.enlargement * inputWidth * pixelBytes, to: place)
          place += window.size * pixelBytes
        }
      }
    }
  }

  /// What a window sees of one line, with zeros for what lies outside of the image.
  private static func copyLine(
    _ window: ImageWindow, line: Int, column: Int, _ pixelBytes: Int, from: UnsafeRawPointer,
    to: UnsafeMutableRawPointer
  ) {
    let whole = column..<column + window.size
    let inside =
      0..<window.height ~= line ? whole.clamped(to: 0..<window.width) : column..<column
    let before = (inside.lowerBound - column) * pixelBytes
    let end = (inside.upperBound - column) * pixelBytes
    memset(to, 0, before)
    memset(to + end, 0, window.size * pixelBytes - end)
    if window.enlargement == 1 {
      memcpy(to + before, from + inside.lowerBound * pixelBytes, end - before)
      return
    }
    for (index, x) in inside.enumerated() {
      memcpy(
        to + before + index * pixelBytes, from + x / window.enlargement * pixelBytes, pixelBytes)
    }
  }

  /// Pixels whose sums are in float32 before they are added in double precision.
  private static let summedPixels = 64

  package func groupNorm(
    _ input: Tensor, groups: Int, weight: Tensor, bias: Tensor, epsilon: Float,
    activates: Bool, into output: Tensor
  ) {
    let channels = weight.count
    let pixels = input.count / channels
    precondition(input.dtype == .float32 && output.dtype.isActivation)
    precondition(output.count == input.count && bias.count == channels)
    precondition(channels % groups == 0)
    if pixels == 0 { return }
    let affine = groupAffine(input, groups: groups, weight, bias, epsilon)
    let kernel = rows
    runRows(pixels, width: channels) { range in
      let start = range.lowerBound * channels
      kernel.column_affine(
        range.count, channels, input.floatAddress(at: start), affine.floatAddress(at: 0),
        affine.floatAddress(at: channels), affine.floatAddress(at: 2 * channels),
        activates ? 1 : 0, output.address(at: start), output.dtype.element)
    }
  }

  /// The norm of a channel as what to take off, to multiply by and to add: `[3, channels]`. Sums
  /// are of differences from the first pixel, so that a mean far from zero costs no digits.
  private func groupAffine(
    _ input: Tensor, groups: Int, _ weight: Tensor, _ bias: Tensor, _ epsilon: Float
  ) -> Tensor {
    let channels = weight.count
    let (pixels, width) = (input.count / channels, channels / groups)
    let chunks = (pixels + Self.summedPixels - 1) / Self.summedPixels
    let sums = allocate([chunks, 2, channels], .float32)
    let kernel = rows
    threadPool.run(chunks) { chunk in
      let first = chunk * Self.summedPixels
      let place = sums.floatAddress(at: 2 * chunk * channels)
      place.update(repeating: 0, count: 2 * channels)
      kernel.column_moments(
        min(Self.summedPixels, pixels - first), channels, input.floatAddress(at: first * channels),
        input.floatAddress(at: 0), place, place + channels)
    }
    let affine = allocate([3, channels], .float32)
    let (result, parts) = (affine.floatAddress(at: 0), sums.floatAddress(at: 0))
    let (weights, biases) = (weight.floatAddress(at: 0), bias.floatAddress(at: 0))
    let centre = input.floatAddress(at: 0)
    threadPool.run(groups) { group in
      let members = group * width..<(group + 1) * width
      var totals = (0..<2 * width).map { _ in 0.0 }
      for chunk in 0..<chunks {
        let part = parts + 2 * chunk * channels + members.lowerBound
        for i in 0..<width {
          totals[i] += Double(part[i])
          totals[width + i] += Double(part[channels + i])
        }
      }
      let count = Double(pixels)
      let means = members.enumerated().map { Double(centre[$1]) + totals[$0] / count }
      let mean = means.reduce(0, +) / Double(width)
      var squares = 0.0
      for (i, channel) in members.enumerated() {
        let apart = mean - Double(centre[channel])
        squares += totals[width + i] - 2 * apart * totals[i] + count * apart * apart
      }
      let inverse = 1 / (max(0, squares) / (count * Double(width)) + Double(epsilon)).squareRoot()
      for channel in members {
        let scale = inverse * Double(weights[channel])
        // What the mean loses as a float, the shift takes back.
        let lost = mean - Double(Float(mean))
        result[channel] = Float(mean)
        result[channels + channel] = Float(scale)
        result[2 * channels + channel] = Float(Double(biases[channel]) - lost * scale)
      }
    }
    return affine
  }

  package func biasedSoftmax(
    _ scores: Tensor, scale: Float, biases: Tensor?, first: Int, into output: Tensor
  ) {
    let keys = scores.shape[1]
    precondition(scores.dtype == .float32 && output.count == scores.count)
    precondition(output.dtype.isActivation && biases?.count ?? (2 * keys - 1) == 2 * keys - 1)
    precondition(biases == nil || first + scores.shape[0] <= keys)
    let kernel = rows
    runRows(scores.shape[0], width: keys) { range in
      for row in range {
        kernel.softmax_row(
          keys, scale, scores.floatAddress(at: row * keys),
          biases.map { UnsafePointer($0.floatAddress(at: keys - 1 - first - row)) },
          output.address(at: row * keys), output.dtype.element)
      }
    }
  }
}
