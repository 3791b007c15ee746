// AdamW's state and its place in checkpoints.
import QLoRADiagnostics
import QLoRATensor

/// AdamW with one pair of moments per parameter, in float32 or in 8 bits.
/// Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101;
/// Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861.
package final class AdamW: Optimizer {
  private let options: AdamWOptions
  private let parameters: [Parameter]
  private let backend: any OptimizerBackend
  /// Of each parameter the first and the second one.
  private let moments: ParameterMoments
  /// Bias correction depends on it.
  package var step = 0

  /// - Parameter folder: where states are paged to that do not stay in memory.
  /// - Throws: where the disk has no room for them.
  package init(
    _ parameters: [Parameter], backend: any OptimizerBackend, options: AdamWOptions,
    pagesIn folder: String
  ) throws(Diagnostic) {
    self.parameters = parameters
    self.backend = backend
    self.options = options
    moments = try ParameterMoments(
      parameters, backend: backend, count: 2, blockwise: options.isBlockwise,
      pagesIn: options.isPaged ? folder : nil)
  }

  package func update(learningRate: Double) {
    step += 1
    let hyperparameters = AdamWStep(
      learningRate: learningRate, beta1: options.beta1, beta2: options.beta2,
      epsilon: options.epsilon, weightDecay: options.weightDecay, step: step)
    moments.update { backend.adamW($0, hyperparameters) }
  }

  package var state: [NamedTensor] {
    let names = options.isBlockwise ? ("state1", "state2") : ("exp_avg", "exp_avg_sq")
    return parameters.enumerated().flatMap { index, parameter in
      moments[index][0].named(parameter, names.0, "absmax1")
        + moments[index][1].named(parameter, names.1, "absmax2")
    }
  }

  package func releasePages() { moments.releasePages() }
}
