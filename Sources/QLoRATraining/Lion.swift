// Lion's state and its place in checkpoints.
import QLoRADiagnostics
import QLoRATensor

/// Steps of one size along the sign of a running mean, which is all its state: in float32 or in
/// 8 bits.
/// Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675,
/// algorithm 2.
package final class Lion: Optimizer {
  private let options: LionOptions
  private let parameters: [Parameter]
  private let backend: any OptimizerBackend
  /// Of each parameter its mean.
  private let moments: ParameterMoments
  package var step = 0

  /// - Parameter folder: where states are paged to that do not stay in memory.
  /// - Throws: where the disk has no room for them.
  package init(
    _ parameters: [Parameter], backend: any OptimizerBackend, options: LionOptions,
    pagesIn folder: String
  ) throws(Diagnostic) {
    self.parameters = parameters
    self.backend = backend
    self.options = options
    moments = try ParameterMoments(
      parameters, backend: backend, count: 1, blockwise: options.isBlockwise,
      pagesIn: options.isPaged ? folder : nil)
  }

  package func update(learningRate: Double) {
    step += 1
    let hyperparameters = LionStep(
      learningRate: learningRate, beta1: options.beta1, beta2: options.beta2,
      weightDecay: options.weightDecay)
    moments.update { backend.lion($0, hyperparameters) }
  }

  package var state: [NamedTensor] {
    parameters.enumerated().flatMap { moments[$0][0].named($1, "state1", "absmax1") }
  }

  package func releasePages() { moments.releasePages() }
}
