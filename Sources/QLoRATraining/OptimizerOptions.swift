// Which optimizer, and the hyperparameters that do not change from step to step.
import QLoRADiagnostics
import QLoRATensor

/// Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
package struct AdamWOptions: Sendable, Hashable {
  package var beta1: Double
  package var beta2: Double
  package var epsilon: Double
  package var weightDecay: Double
  /// Whether the moments of large parameters are held in 8 bits.
  package var isBlockwise: Bool
  /// Whether the moments lie on the disk; no bit of them depends on it.
  package var isPaged: Bool

  package init(
    beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0,
    isBlockwise: Bool = false, isPaged: Bool = false
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.isBlockwise = isBlockwise
    self.isPaged = isPaged
  }
}

/// Source: Chen et al. 2023, arXiv:2302.06675.
package struct LionOptions: Sendable, Hashable {
  package var beta1: Double
  package var beta2: Double
  package var weightDecay: Double
  /// Whether the means of large parameters are held in 8 bits.
  package var isBlockwise: Bool
  /// Whether the means lie on the disk; no bit of them depends on it.
  package var isPaged: Bool

  package init(
    beta1: Double = 0.9, beta2: Double = 0.99, weightDecay: Double = 0, isBlockwise: Bool = false,
    isPaged: Bool = false
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.weightDecay = weightDecay
    self.isBlockwise = isBlockwise
    self.isPaged = isPaged
  }
}

package struct SGDOptions: Sendable, Hashable {
  /// 0 = none, and no state.
  package var momentum: Double
  package var weightDecay: Double

  package init(momentum: Double = 0, weightDecay: Double = 0) {
    self.momentum = momentum
    self.weightDecay = weightDecay
  }
}

package enum OptimizerOptions: Sendable, Hashable {
  case adamW(AdamWOptions)
  case lion(LionOptions)
  case sgd(SGDOptions)

  /// - Parameter folder: where a paged optimizer makes the file of its states.
  /// - Throws: where the disk has no room for it.
  package func makeOptimizer(
    _ parameters: [Parameter], backend: any OptimizerBackend, pagesIn folder: String
  ) throws(Diagnostic) -> any Optimizer {
    switch self {
    case .adamW(let options):
      try AdamW(parameters, backend: backend, options: options, pagesIn: folder)
    case .lion(let options):
      try Lion(parameters, backend: backend, options: options, pagesIn: folder)
    case .sgd(let options): SGD(parameters, backend: backend, options: options)
    }
  }

  private var isPaged: Bool {
    switch self {
    case .adamW(let options): options.isPaged
    case .lion(let options): options.isPaged
    case .sgd: false
    }
  }

  /// Bytes of memory that the states of parameters of so many elements take; of states on the disk
  /// those of two parameters, of which one is updated and one is read.
  package func memoryBytes(of counts: [Int]) -> Int {
    let states = counts.map { stateByteCounts(of: $0).reduce(0, +) }
    return isPaged ? 2 * (states.max() ?? 0) : states.reduce(0, +)
  }

  /// Bytes of the file that the states lie in; 0 where they are in memory.
  package func diskBytes(of counts: [Int]) -> Int {
    isPaged ? StateLayout(counts.map(stateByteCounts)).byteCount : 0
  }

  /// Bytes of each tensor of state that belongs to a parameter of `count` elements.
  package func stateByteCounts(of count: Int) -> [Int] {
    func moment(_ blockwise: Bool) -> [Int] {
      OptimizerMoment.byteCounts(of: count, blockwise: blockwise)
    }
    return switch self {
    case .adamW(let options): moment(options.isBlockwise) + moment(options.isBlockwise)
    case .lion(let options): moment(options.isBlockwise)
    case .sgd(let options): options.momentum == 0 ? [] : moment(false)
    }
  }
}
