// Which optimizer, and the hyperparameters that do not change from step to step.
import QLoRATensor

/// Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
package struct AdamWOptions: Sendable, Hashable {
  package var beta1: Double
  package var beta2: Double
  package var epsilon: Double
  package var weightDecay: Double
  /// Whether the moments of large parameters are held in 8 bits.
  package var isBlockwise: Bool

  package init(
    beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0,
    isBlockwise: Bool = false
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.isBlockwise = isBlockwise
  }
}

/// Source: Chen et al. 2023, arXiv:2302.06675.
package struct LionOptions: Sendable, Hashable {
  package var beta1: Double
  package var beta2: Double
  package var weightDecay: Double
  /// Whether the means of large parameters are held in 8 bits.
  package var isBlockwise: Bool

  package init(
    beta1: Double = 0.9, beta2: Double = 0.99, weightDecay: Double = 0, isBlockwise: Bool = false
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.weightDecay = weightDecay
    self.isBlockwise = isBlockwise
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

  package func makeOptimizer(
    _ parameters: [Parameter], backend: any OptimizerBackend
  ) -> any Optimizer {
    switch self {
    case .adamW(let options): AdamW(parameters, backend: backend, options: options)
    case .lion(let options): Lion(parameters, backend: backend, options: options)
    case .sgd(let options): SGD(parameters, backend: backend, options: options)
    }
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
