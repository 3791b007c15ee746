// The optimizer's state and its place in checkpoints. The arithmetic is the backend's.
import QLoRADiagnostics
import QLoRATensor

/// AdamW with float32 moments, one pair per parameter.
/// Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101.
package final class AdamW {
  package let options: AdamWOptions
  private let parameters: [Parameter]
  private let backend: any OptimizerBackend
  private let firstMoments: [Tensor]
  private let secondMoments: [Tensor]
  /// Updates so far; bias correction depends on it.
  package private(set) var step = 0

  package init(
    _ parameters: [Parameter], backend: any OptimizerBackend, options: AdamWOptions
  ) {
    self.parameters = parameters
    self.backend = backend
    self.options = options
    firstMoments = parameters.map { Tensor(zeros: $0.value.shape) }
    secondMoments = parameters.map { Tensor(zeros: $0.value.shape) }
  }

  /// One update from the gradients as they stand.
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

  /// The moments, named after their parameters and PyTorch's words for them.
  package var state: [NamedTensor] {
    parameters.enumerated().flatMap { index, parameter in
      [
        NamedTensor(parameter.name + ".exp_avg", firstMoments[index]),
        NamedTensor(parameter.name + ".exp_avg_sq", secondMoments[index]),
      ]
    }
  }

  /// Takes the moments of a checkpoint made after `step` updates.
  package func restore(
    _ tensors: [NamedTensor], step: Int, file: String
  ) throws(Diagnostic) {
    try TensorRestoration.copy(tensors, into: state, file: file)
    self.step = step
  }
}
