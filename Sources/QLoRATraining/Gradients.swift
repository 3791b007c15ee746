// The gradients of all parameters as one vector: cleared, averaged, measured and clipped.
import QLoRATensor

struct Gradients {
  /// Keeps the clipping factor finite, as PyTorch's `clip_grad_norm_` does.
  private static let clippingEpsilon = 1e-6

  private let parameters: [Parameter]
  private let tensors: [Tensor]
  private let backend: any OptimizerBackend

  init(_ parameters: [Parameter], backend: any OptimizerBackend) {
    self.parameters = parameters
    self.backend = backend
    tensors = parameters.map(\.gradient)
  }

  func clear() { backend.clear(tensors) }

  /// Turns gradients of a sum into those of its mean.
  func average(over count: Int) {
    guard count > 1 else { return }
    backend.scale(tensors, by: Float(1 / Double(count)))
  }

  /// The Euclidean norm over all parameters: √ Σ g².
  var norm: Double {
    backend.sumsOfSquares(tensors).reduce(0, +).squareRoot()
  }

  /// The first parameter with an infinite or undefined gradient.
  var firstNonFinite: Parameter? {
    let sums = backend.sumsOfSquares(tensors)
    return sums.firstIndex { !$0.isFinite }.map { parameters[$0] }
  }

  /// Multiplies by min(1, maximum / (norm + 1e-6)). Source: Pascanu et al. 2013, arXiv:1211.5063.
  func clip(norm: Double, to maximum: Double) {
    guard maximum > 0 else { return }
    let factor = maximum / (norm + Self.clippingEpsilon)
    if factor < 1 { backend.scale(tensors, by: Float(factor)) }
  }
}
