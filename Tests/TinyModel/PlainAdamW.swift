// The optimizer of the tiny model's goldens, from the backend's own operations.
import QLoRAModels
import QLoRATensor

/// The golden's optimizer: clipping at 1, rate 1e-2, decay 0.01.
package struct PlainAdamW {
  package let parameters: [Parameter]
  package let first: [OptimizerMoment]
  package let second: [OptimizerMoment]

  package init(_ parameters: [Parameter]) {
    self.parameters = parameters
    first = parameters.map { OptimizerMoment(Tensor(zeros: $0.value.shape)) }
    second = parameters.map { OptimizerMoment(Tensor(zeros: $0.value.shape)) }
  }

  /// One update; the gradients hold sums over `count` tokens and are zero afterwards. Returns the
  /// norm of the mean gradient before clipping.
  package mutating func update(_ backend: any Backend, count: Int, step: Int) -> Double {
    for parameter in parameters { backend.scale(parameter.gradient, by: 1 / Float(count)) }
    let squares = parameters.reduce(0) { $0 + backend.sumOfSquares($1.gradient) }
    let norm = squares.squareRoot()
    let clip = min(1, 1 / (norm + 1e-6))
    let update = AdamWStep(
      learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: step)
    for (index, parameter) in parameters.enumerated() {
      backend.scale(parameter.gradient, by: Float(clip))
      backend.adamW(
        parameter: parameter.value, gradient: parameter.gradient, firstMoment: first[index],
        secondMoment: second[index], update)
      parameter.gradient.zero()
    }
    return norm
  }
}
