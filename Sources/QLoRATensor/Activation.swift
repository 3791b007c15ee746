// The activations of an MLP.

package enum Activation: String, Sendable, Hashable {
  /// x·σ(x). Source: Elfwing et al. 2017, arXiv:1702.03118.
  case silu
  /// x·Φ(x). Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
  case gelu
  /// The same with the paper's approximation of Φ by tanh.
  case geluTanh
  /// max(x, 0).
  case relu
}
