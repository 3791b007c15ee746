// What a device must be able to do for image models, beside what language models ask of it.

/// A function of one number, applied to each element, beside those of `Activation`.
package enum ElementFunction: String, Sendable, CaseIterable {
  /// x·σ(1.702·x), an approximation of GELU.
  /// Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
  case geluSigmoid
  /// x·σ(x).
  case silu
  case tanh
  /// max(x, 0).
  case relu
}

/// A square window over an image, as a convolution moves it.
package struct ImageWindow: Sendable, Hashable {
  /// Rows and columns of the image that the window is on, after enlargement.
  package var height: Int
  package var width: Int
  package var channels: Int
  package var size: Int
  /// Pixels before the first row and column that the window begins at; all outside count as zero.
  package var padding: Int
  /// How far it moves from one place to the next.
  package var stride: Int
  /// Each pixel of the input stands for a square of so many: nearest-neighbour upsampling.
  package var enlargement: Int

  package init(
    height: Int, width: Int, channels: Int, size: Int, padding: Int, stride: Int = 1,
    enlargement: Int = 1
  ) {
    self.height = height
    self.width = width
    self.channels = channels
    self.size = size
    self.padding = padding
    self.stride = stride
    self.enlargement = enlargement
  }

  /// Places of the window in a column and in a row.
  package var places: (rows: Int, columns: Int) { (height / stride, width / stride) }
}

/// `bounds` divide rows into samples: sample `s` is `bounds[s] ..< bounds[s+1]`.
package protocol ImageBackend: AnyObject {
  /// `output = n · (1 + scale[s]) + shift[s]` with n the row less its mean, divided by
  /// √(variance + ε); `scale`, `shift [samples, width]` float32. `statistics [rows, 2]` float32
  /// keeps mean and 1/√ for backward.
  /// Source: Peebles & Xie 2023, "Scalable Diffusion Models with Transformers", arXiv:2212.09748.
  func modulatedNorm(
    _ input: Tensor, shift: Tensor, scale: Tensor, bounds: [Int], epsilon: Float,
    into output: Tensor, statistics: Tensor)
  /// Gradients of `scale` and `shift` are written where they are wanted.
  func modulatedNormBackward(
    _ outputGradient: Tensor, input: Tensor, scale: Tensor, statistics: Tensor, bounds: [Int],
    inputGradient: Tensor?, accumulating: Bool, shiftGradient: Tensor?, scaleGradient: Tensor?)
  /// `output = residual + gate[s] · values`; `gate [samples, width]` float32.
  func gatedAdd(
    _ residual: Tensor, _ values: Tensor, gate: Tensor, bounds: [Int], into output: Tensor)
  /// `gateGradient[s] = Σ rows outputGradient · values`, with `values` only for it.
  func gatedAddBackward(
    _ outputGradient: Tensor, values: Tensor?, gate: Tensor, bounds: [Int],
    valuesGradient: Tensor?, gateGradient: Tensor?)
  /// As `rotary`, but the pairs are neighbours: (2i, 2i + 1).
  func pairRotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool)
  func apply(_ function: ElementFunction, to input: Tensor, into output: Tensor)
  /// `inputGradient = outputGradient · f'(input)`; it may be `outputGradient`.
  func applyBackward(
    _ function: ElementFunction, _ outputGradient: Tensor, input: Tensor, inputGradient: Tensor)
  /// Copies `count` columns of every row, from `column` of `input` to `outputColumn` of `output`.
  func copyColumns(
    _ input: Tensor, column: Int, count: Int, into output: Tensor, outputColumn: Int)
  /// Σ over samples of `weights[s]` times the mean of (prediction − target)² over the sample's
  /// elements, in double precision; and its gradient by `prediction`, where it is wanted.
  func squaredError(
    _ prediction: Tensor, target: Tensor, weights: [Float], bounds: [Int], gradient: Tensor?
  ) -> Double
  /// `output[p − pixels.lowerBound] =` what the window at its place `p` on `input [pixels,
  /// channels]` sees, as `[size, size, channels]` of the input's type; each of `output`'s rows has
  /// room for that.
  func windows(
    _ input: Tensor, _ window: ImageWindow, pixels: Range<Int>, into output: Tensor)
  /// `output [places, out] = weight · window + bias`, the window at each of its places on `input
  /// [pixels, channels]` as `windows` unrolls it; `output` and `bias [out]` float32.
  func convolve(
    _ input: Tensor, _ window: ImageWindow, weight: any PreparedWeight, bias: Tensor?,
    into output: Tensor)
  /// `output = (x − mean) / √(variance + ε) · weight + bias` over all pixels and the channels of
  /// one group, for `input [pixels, channels]` float32; where it `activates`, y·σ(y) of that.
  /// Source: Wu & He 2018, "Group Normalization", arXiv:1803.08494.
  func groupNorm(
    _ input: Tensor, groups: Int, weight: Tensor, bias: Tensor, epsilon: Float,
    activates: Bool, into output: Tensor)
  /// `output = softmax(scale · scores + bias)` of each row of `scores [queries, keys]` float32,
  /// which are spoiled. Row r is query `first + r`, and key k has the bias at
  /// `k − (first + r) + keys − 1` of `biases [2 · keys − 1]`; nil adds nothing.
  func biasedSoftmax(
    _ scores: Tensor, scale: Float, biases: Tensor?, first: Int, into output: Tensor)
}
