// The optimizer of the tiny model's goldens, from the backend's own operations.
import QLoRAModels
import QLoRATensor

/// The golden's optimizer: clipping at 1, rate 1e-2, decay 0.01.
package struct PlainAdamW {
  package let parameters: [Parameter]
  private let gradients: [Tensor]
  private let updates: [ParameterUpdate]

  package init(_ parameters: [Parameter]) {
    self.parameters = parameters
    gradients = parameters.map(\.gradient)
    updates = parameters.map { parameter in
      let moments = (0..<2).map { _ in OptimizerMoment(Tensor(zeros: parameter.value.shape)) }
      return ParameterUpdate(
        parameter: parameter.value, gradient: parameter.gradient, moments: moments)
    }
  }

  /// One update; the gradients hold sums over `count` tokens and are zero afterwards. Returns the
  /// norm of the mean gradient before clipping.
  package mutating func update(_ backend: any Backend, count: Int, step: Int) -> Double {
    backend.scale(gradients, by: 1 / Float(count))
    let norm = backend.sumsOfSquares(gradients).reduce(0, +).squareRoot()
    let step = AdamWStep(
      learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: step)
    backend.scale(gradients, by: Float(min(1, 1 / (norm + 1e-6))))
    backend.adamW(updates, step)
    backend.clear(gradients)
    return norm
  }
}
