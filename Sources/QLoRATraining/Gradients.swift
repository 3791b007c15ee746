// The gradients of all parameters as one vector: cleared, averaged, measured and clipped.
import QLoRATensor

struct Gradients {
  /// Keeps the clipping factor finite, as PyTorch's `clip_grad_norm_` does.
  private static let clippingEpsilon = 1e-6

  private let parameters: [Parameter]
  private let backend: any OptimizerBackend

  init(_ parameters: [Parameter], backend: any OptimizerBackend) {
    self.parameters = parameters
    self.backend = backend
  }

  func clear() { parameters.forEach { $0.gradient.zero() } }

  /// Turns gradients of a sum into those of its mean.
  func average(over count: Int) {
    guard count > 1 else { return }
    scale(by: Float(1 / Double(count)))
  }

  /// The Euclidean norm over all parameters: √ Σ g².
  var norm: Double {
    backend.sumOfSquares(parameters.map(\.gradient)).squareRoot()
  }

  /// The first parameter with an infinite or undefined gradient.
  var firstNonFinite: Parameter? {
    parameters.first { !backend.sumOfSquares($0.gradient).isFinite }
  }

  /// Multiplies by min(1, maximum / (norm + 1e-6)). Source: Pascanu et al. 2013, arXiv:1211.5063.
  func clip(norm: Double, to maximum: Double) {
    guard maximum > 0 else { return }
    let factor = maximum / (norm + Self.clippingEpsilon)
    if factor < 1 { scale(by: Float(factor)) }
  }

  private func scale(by factor: Float) {
    for parameter in parameters { backend.scale(parameter.gradient, by: factor) }
  }
}
