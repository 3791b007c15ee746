// Images as rows of pixels: what a convolution's window sees, and the norm over groups of channels.
import QLoRATensor

// SAFETY: pixels lie inside the input, which the preconditions compare with the window; tasks write
// disjoint rows of the output; the tensors outlive the call.
extension CPUBackend {
  package func windows(
    _ input: Tensor, _ window: ImageWindow, pixels: Range<Int>, into output: Tensor
  ) {
    let (size, channels) = (window.size, window.channels)
    let inputWidth = window.width / window.enlargement
    precondition(input.dtype == .float32 && output.dtype == .float32)
    precondition(input.count == window.height / window.enlargement * inputWidth * channels)
    precondition(output.count >= pixels.count * size * size * channels)
    let x = input.floatAddress(at: 0)
    runRows(pixels.count, width: size * size * channels) { range in
      for item in range {
        let pixel = pixels.lowerBound + item
        var place = output.floatAddress(at: item * size * size * channels)
        for dy in 0..<size {
          let row = pixel / window.width + dy - window.padding
          for dx in 0..<size {
            let column = pixel % window.width + dx - window.padding
            if 0..<window.height ~= row, 0..<window.width ~= column {
              let from = row / window.enlargement * inputWidth + column / window.enlargement
              place.update(from: x + from * channels, count: channels)
            } else {
              place.update(repeating: 0, count: channels)
            }
            place += channels
          }
        }
      }
    }
  }

  package func groupNorm(
    _ input: Tensor, groups: Int, weight: Tensor, bias: Tensor, epsilon: Float,
    into output: Tensor
  ) {
    let channels = weight.count
    let (pixels, width) = (input.count / channels, channels / groups)
    precondition(input.dtype == .float32 && output.dtype == .float32)
    precondition(output.count == input.count && bias.count == channels)
    precondition(width * groups == channels)
    let x = input.floatAddress(at: 0)
    let y = output.floatAddress(at: 0)
    threadPool.run(groups) { group in
      let first = group * width
      func sum(_ term: (Float) -> Double) -> Double {
        var sum = 0.0
        for pixel in 0..<pixels {
          for i in 0..<width { sum += term(x[pixel * channels + first + i]) }
        }
        return sum
      }
      let mean = sum { Double($0) } / Double(pixels * width)
      let variance = sum { (Double($0) - mean) * (Double($0) - mean) } / Double(pixels * width)
      let inverse = Float(1 / (variance + Double(epsilon)).squareRoot())
      for pixel in 0..<pixels {
        for channel in first..<first + width {
          let at = pixel * channels + channel
          y[at] =
            (x[at] - Float(mean)) * inverse * weight[flat: channel] + bias[flat: channel]
        }
      }
    }
  }
}
