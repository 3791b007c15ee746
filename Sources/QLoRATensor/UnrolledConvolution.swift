// A convolution as a product of matrices: what the windows see, unrolled, times the weight. What a
// backend does that has no convolution of its own.
// Source: Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document
// Processing", section 3.

extension Backend {
  package func convolve(
    _ input: Tensor, _ window: ImageWindow, weight: any PreparedWeight, bias: Tensor?,
    into output: Tensor
  ) {
    convolveUnrolled(input, window, weight: weight, bias: bias, into: output)
  }

  /// `convolve`, a few pixels at a time.
  package func convolveUnrolled(
    _ input: Tensor, _ window: ImageWindow, weight: any PreparedWeight, bias: Tensor?,
    into output: Tensor
  ) {
    let places = window.places.rows * window.places.columns
    let atOnce = max(1, unrolledBytes / (weight.inFeatures * input.dtype.byteSize))
    for start in stride(from: 0, to: places, by: atOnce) {
      let pixels = start..<min(places, start + atOnce)
      let unrolled = allocate([pixels.count, weight.inFeatures], input.dtype)
      windows(input, window, pixels: pixels, into: unrolled)
      linear(
        unrolled,
        [
          LinearTerm(weight: weight, bias: bias, output: output.rows(pixels), isInference: true)
        ])
    }
  }
}

/// Bytes of unrolled windows that exist at once: few enough to stay in a cache until they are
/// multiplied, many enough that packing the weight again for each of them is little.
private let unrolledBytes = 8 << 20
