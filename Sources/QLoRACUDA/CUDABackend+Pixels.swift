// Images as rows of pixels: what a convolution's window sees, the norm over groups of channels, and
// the softmax of scores that lie in memory.
import CQLoRACUDA
import QLoRATensor

extension CUDABackend {
  package func windows(
    _ input: Tensor, _ window: ImageWindow, pixels: Range<Int>, into output: Tensor
  ) {
    let elements = pixels.count * window.size * window.size * window.channels
    precondition(input.dtype == output.dtype && output.count >= elements)
    precondition(
      input.count == window.height / window.enlargement * (window.width / window.enlargement)
        * window.channels)
    precondition(pixels.upperBound <= window.places.rows * window.places.columns)
    let argument = qlora_cuda_image_window(
      height: Int32(window.height), width: Int32(window.width), channels: Int32(window.channels),
      size: Int32(window.size), padding: Int32(window.padding), stride: Int32(window.stride),
      enlargement: Int32(window.enlargement), columns: Int32(window.places.columns))
    launch(
      "qlora_windows", over: elements,
      [
        read(input), input.dtype.element, argument, pixels.lowerBound, pixels.count,
        write(output),
      ])
  }

  /// Pixels whose sums a block of the kernel has.
  private static let summedPixels = 256

  package func groupNorm(
    _ input: Tensor, groups: Int, weight: Tensor, bias: Tensor, epsilon: Float,
    activates: Bool, into output: Tensor
  ) {
    let channels = weight.count
    let pixels = input.count / channels
    precondition(input.dtype == .float32)
    precondition(output.count == input.count && bias.count == channels)
    precondition(channels % groups == 0)
    if pixels == 0 { return }
    let chunks = (pixels + Self.summedPixels - 1) / Self.summedPixels
    let sums = allocate([chunks, groups, 2], .float64)
    kernels.launch(
      "qlora_group_moments", grid: (chunks, groups, 1), threads: 256,
      [read(input), pixels, channels, write(sums)])
    let affine = allocate([3, channels], .float32)
    kernels.launch(
      "qlora_group_affine", grid: (groups, 1, 1), threads: 256,
      [
        read(input), read(sums), chunks, pixels, channels, read(weight), read(bias), epsilon,
        write(affine),
      ])
    launch(
      "qlora_group_norm", over: input.count,
      [
        read(input), read(affine), Int32(activates ? 1 : 0), write(output), output.dtype.element,
        pixels, channels,
      ])
  }

  package func biasedSoftmax(
    _ scores: Tensor, scale: Float, biases: Tensor?, first: Int, into output: Tensor
  ) {
    let (queries, keys) = (scores.shape[0], scores.shape[1])
    precondition(scores.dtype == .float32 && output.count == scores.count)
    precondition(biases?.count ?? (2 * keys - 1) == 2 * keys - 1)
    precondition(biases == nil || first + queries <= keys)
    kernels.launch(
      "qlora_biased_softmax", grid: (queries, 1, 1), threads: 256,
      [
        read(scores), scale, biases.map(read) ?? 0, first, keys, write(output),
        output.dtype.element,
      ])
  }
}
