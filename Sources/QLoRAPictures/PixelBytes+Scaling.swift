// Pictures of another size: each pixel is a weighted mean of those that lie under a triangle as
// wide as the picture shrinks. Weights have 22 bits behind the point and rows are rounded before
// columns are summed, as Pillow does it, so that pixels come out alike.
// Source: Turkowski 1990, "Filters for Common Resampling Tasks", Graphics Gems I, for the filter.

/// What one pixel of a line is made of: neighbours from `first` on.
private struct Weights {
  static let bits = 22

  var first: Int
  var values: [Int32]

  /// - Returns: for each pixel of a line of `size`, made from one of `from`.
  static func triangle(from: Int, to size: Int) -> [Weights] {
    let scale = Double(from) / Double(size)
    let reach = max(scale, 1)
    return (0..<size).map { index in
      let centre = (Double(index) + 0.5) * scale
      let first = max(0, Int(centre - reach + 0.5))
      let end = min(from, Int(centre + reach + 0.5))
      var weights = (first..<end).map { place in
        max(0, 1 - abs((Double(place) - centre + 0.5) / reach))
      }
      let sum = weights.reduce(0, +)
      if sum != 0 { weights = weights.map { $0 / sum } }
      return Weights(
        first: first, values: weights.map { Int32($0 * Double(1 << bits) + 0.5) })
    }
  }

  /// The weighted mean of every `step`-th of the values from `start` on.
  @inline(__always)
  func mean(_ pixels: [UInt8], start: Int, step: Int) -> UInt8 {
    var sum = Int32(1) << (Self.bits - 1)
    var place = start + first * step
    for weight in values {
      sum &+= weight &* Int32(pixels[place])
      place += step
    }
    return UInt8(clamping: sum >> Self.bits)
  }
}

extension PixelBytes {
  /// The shorter side gets so many pixels, the longer one as many as keep the proportions, without
  /// the fraction.
  package func scaled(shorterSide: Int) -> PixelBytes {
    width < height
      ? scaled(width: shorterSide, height: shorterSide * height / width)
      : scaled(width: shorterSide * width / height, height: shorterSide)
  }

  package func scaled(width newWidth: Int, height newHeight: Int) -> PixelBytes {
    var result = self
    if newWidth != width { result = result.resized(columns: newWidth) }
    if newHeight != height { result = result.resized(rows: newHeight) }
    return result
  }

  private func resized(columns: Int) -> PixelBytes {
    let weights = Weights.triangle(from: width, to: columns)
    var output: [UInt8] = []
    output.reserveCapacity(3 * columns * height)
    for row in 0..<height {
      let start = 3 * row * width
      for weight in weights {
        for channel in 0..<3 {
          output.append(weight.mean(values, start: start + channel, step: 3))
        }
      }
    }
    return PixelBytes(width: columns, height: height, values: output)
  }

  private func resized(rows: Int) -> PixelBytes {
    let weights = Weights.triangle(from: height, to: rows)
    var output: [UInt8] = []
    output.reserveCapacity(3 * width * rows)
    for weight in weights {
      for place in 0..<3 * width {
        output.append(weight.mean(values, start: place, step: 3 * width))
      }
    }
    return PixelBytes(width: width, height: rows, values: output)
  }
}
