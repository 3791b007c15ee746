// Lion's state and its place in checkpoints.
import QLoRATensor

/// Steps of one size along the sign of a running mean, which is all its state: in float32 or in
/// 8 bits.
/// Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675,
/// algorithm 2.
package final class Lion: Optimizer {
  private let options: LionOptions
  private let parameters: [Parameter]
  private let backend: any OptimizerBackend
  private let means: [OptimizerMoment]
  package var step = 0

  package init(
    _ parameters: [Parameter], backend: any OptimizerBackend, options: LionOptions
  ) {
    self.parameters = parameters
    self.backend = backend
    self.options = options
    means = parameters.map {
      OptimizerMoment(zeros: $0.value.shape, blockwise: options.isBlockwise)
    }
  }

  package func update(learningRate: Double) {
    step += 1
    let hyperparameters = LionStep(
      learningRate: learningRate, beta1: options.beta1, beta2: options.beta2,
      weightDecay: options.weightDecay)
    for (parameter, mean) in zip(parameters, means) {
      backend.lion(
        parameter: parameter.value, gradient: parameter.gradient, moment: mean, hyperparameters)
    }
  }

  package var state: [NamedTensor] {
    zip(parameters, means).flatMap { $1.named($0, "state1", "absmax1") }
  }
}
