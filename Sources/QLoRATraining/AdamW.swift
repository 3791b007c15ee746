// AdamW's state and its place in checkpoints.
import QLoRATensor

/// AdamW with one pair of moments per parameter, in float32 or in 8 bits.
/// Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101;
/// Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861.
package final class AdamW: Optimizer {
  private let options: AdamWOptions
  private let parameters: [Parameter]
  private let backend: any OptimizerBackend
  private let firstMoments: [OptimizerMoment]
  private let secondMoments: [OptimizerMoment]
  /// Bias correction depends on it.
  package var step = 0

  package init(
    _ parameters: [Parameter], backend: any OptimizerBackend, options: AdamWOptions
  ) {
    self.parameters = parameters
    self.backend = backend
    self.options = options
    func moments() -> [OptimizerMoment] {
      parameters.map { OptimizerMoment(zeros: $0.value.shape, blockwise: options.isBlockwise) }
    }
    (firstMoments, secondMoments) = (moments(), moments())
  }

  package func update(learningRate: Double) {
    step += 1
    let hyperparameters = AdamWStep(
      learningRate: learningRate, beta1: options.beta1, beta2: options.beta2,
      epsilon: options.epsilon, weightDecay: options.weightDecay, step: step)
    for (index, parameter) in parameters.enumerated() {
      backend.adamW(
        parameter: parameter.value, gradient: parameter.gradient,
        firstMoment: firstMoments[index], secondMoment: secondMoments[index], hyperparameters)
    }
  }

  package var state: [NamedTensor] {
    let names = options.isBlockwise ? ("state1", "state2") : ("exp_avg", "exp_avg_sq")
    return parameters.enumerated().flatMap { index, parameter in
      firstMoments[index].named(parameter, names.0, "absmax1")
        + secondMoments[index].named(parameter, names.1, "absmax2")
    }
  }
}
