// The state of gradient descent, if it has one, and its place in checkpoints.
import QLoRATensor

/// Stochastic gradient descent with heavy-ball momentum, whose buffer is its only state; without
/// momentum there is none.
/// Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
/// learning", section 2, in the form of `torch.optim.SGD`.
package final class SGD: Optimizer {
  private let options: SGDOptions
  private let parameters: [Parameter]
  private let backend: any OptimizerBackend
  /// One per parameter, or none at all.
  private let buffers: [Tensor]
  package var step = 0

  package init(
    _ parameters: [Parameter], backend: any OptimizerBackend, options: SGDOptions
  ) {
    self.parameters = parameters
    self.backend = backend
    self.options = options
    buffers = options.momentum == 0 ? [] : parameters.map { Tensor(zeros: $0.value.shape) }
  }

  package func update(learningRate: Double) {
    step += 1
    let hyperparameters = SGDStep(
      learningRate: learningRate, momentum: options.momentum, weightDecay: options.weightDecay)
    let updates = parameters.enumerated().map { index, parameter in
      ParameterUpdate(
        parameter: parameter.value, gradient: parameter.gradient,
        moments: buffers.isEmpty ? [] : [OptimizerMoment(buffers[index])])
    }
    backend.sgd(updates, hyperparameters)
  }

  package var state: [NamedTensor] {
    zip(parameters, buffers).map { NamedTensor($0.name + ".momentum_buffer", $1) }
  }
}
