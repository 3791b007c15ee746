// Cases of the optimizers, which round alike on every device: the same bits.
import QLoRATensor
import TestSupport

extension BackendCase {
  /// States in 8 bits begin at 4096 elements; the last block is not whole.
  private static let sizes = [(1, false), (300, false), (4_096, true), (5_001, true)]

  static let optimizers: [BackendCase] = sizes.flatMap { count, blockwise in
    [adamW(count, blockwise: blockwise), lion(count, blockwise: blockwise), sgd(count)]
  } + [updatesOfAList, factorsOfAList, squaresOfAList]

  private static func adamW(_ count: Int, blockwise: Bool) -> BackendCase {
    BackendCase("adamw \(count)\(blockwise ? " in 8 bits" : "")", tolerance: 0) { backend in
      let parameter = backend.seeded([count], seed: 71)
      let moments = (0..<2).map { _ in OptimizerMoment(zeros: [count], blockwise: blockwise) }
      for step in 1...4 {
        backend.adamW(
          parameter: parameter, gradient: backend.seeded([count], seed: UInt64(80 + step)),
          firstMoment: moments[0], secondMoment: moments[1],
          AdamWStep(
            learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01,
            step: step))
      }
      return [parameter] + moments.flatMap(states)
    }
  }

  private static func lion(_ count: Int, blockwise: Bool) -> BackendCase {
    BackendCase("lion \(count)\(blockwise ? " in 8 bits" : "")", tolerance: 0) { backend in
      let parameter = backend.seeded([count], seed: 72)
      let moment = OptimizerMoment(zeros: [count], blockwise: blockwise)
      for step in 1...4 {
        backend.lion(
          parameter: parameter, gradient: backend.seeded([count], seed: UInt64(90 + step)),
          moment: moment, LionStep(learningRate: 1e-3, beta1: 0.9, beta2: 0.99, weightDecay: 0.1))
      }
      return [parameter] + states(moment)
    }
  }

  private static func sgd(_ count: Int) -> BackendCase {
    BackendCase("sgd \(count)", tolerance: 0) { backend in
      let parameter = backend.seeded([count], seed: 73)
      let moment = Tensor(zeros: [count])
      for step in 1...3 {
        let gradient = backend.seeded([count], seed: UInt64(100 + step))
        let update = SGDStep(learningRate: 1e-2, momentum: 0.9, weightDecay: 0.05)
        backend.sgd(parameter: parameter, gradient: gradient, moment: moment, update)
        backend.sgd(
          parameter: parameter, gradient: gradient, moment: nil,
          SGDStep(learningRate: 1e-2, momentum: 0, weightDecay: 0))
      }
      return [parameter, moment]
    }
  }

  // MARK: Lists

  /// Tensors of less than a device's part of a list, of several, and of none.
  private static let counts = [300, 1, 0, 9_000, 4_096, 4_099, 17]

  private static func list(_ backend: any Backend, seed: UInt64) -> [Tensor] {
    counts.enumerated().map { backend.seeded([$1], seed: seed + UInt64($0)) }
  }

  private static let updatesOfAList = BackendCase("updates of a list", tolerance: 0) { backend in
    let (parameters, gradients) = (list(backend, seed: 110), list(backend, seed: 120))
    let updates = zip(parameters, gradients).map { parameter, gradient in
      // States of both kinds.
      let moments = (0..<2).map { _ in OptimizerMoment(zeros: parameter.shape, blockwise: true) }
      return ParameterUpdate(parameter: parameter, gradient: gradient, moments: moments)
    }
    backend.adamW(
      updates,
      AdamWStep(
        learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: 1))
    backend.lion(
      updates, LionStep(learningRate: 1e-3, beta1: 0.9, beta2: 0.99, weightDecay: 0.1))
    let plain = updates.map {
      ParameterUpdate(parameter: $0.parameter, gradient: $0.gradient, moments: [])
    }
    backend.sgd(plain, SGDStep(learningRate: 1e-2, momentum: 0, weightDecay: 0.1))
    return updates.flatMap { [$0.parameter] + $0.moments.flatMap(states) }
  }

  private static let factorsOfAList = BackendCase("factors of a list", tolerance: 0) { backend in
    let (scaled, cleared) = (list(backend, seed: 130), list(backend, seed: 140))
    backend.scale(scaled, by: 0.3)
    cleared[0].withMutableElements(Float.self) { $0[7] = .nan }
    backend.clear(cleared)
    return scaled + cleared
  }

  private static let squaresOfAList = BackendCase("squares of a list", tolerance: 1e-7) { backend in
    let sums = backend.sumsOfSquares(list(backend, seed: 150))
    return [Tensor(sums.map(Float.init), shape: [sums.count])]
  }

  private static func states(_ moment: OptimizerMoment) -> [Tensor] {
    [moment.values] + (moment.scales.map { [$0] } ?? [])
  }
}
