// The optimizers' updates, and the sum of squares that clipping needs.
import CQLoRAKernels
import QLoRATensor

extension AdamWStep {
  func constants(interpolating: Bool) -> qlora_adamw_constants {
    let constants = constants(interpolatingMean: interpolating)
    return qlora_adamw_constants(
      decay: constants.decay, first_weight: constants.firstWeight, beta2: constants.beta2,
      second_weight: constants.secondWeight, correction2_root: constants.correction2Root,
      epsilon: constants.epsilon, negative_step_size: constants.negativeStepSize,
      first_decay: constants.firstDecay)
  }
}

extension LionStep {
  var constants: qlora_lion_constants {
    qlora_lion_constants(
      decay: Float(1 - learningRate * weightDecay), beta1: Float(beta1),
      update_weight: Float(1 - beta1), beta2: Float(beta2), mean_weight: Float(1 - beta2),
      rate: Float(learningRate))
  }
}

extension SGDStep {
  var constants: qlora_sgd_constants {
    qlora_sgd_constants(
      weight_decay: Float(weightDecay), momentum: Float(momentum),
      negative_rate: Float(-learningRate))
  }
}

// SAFETY: every range lies inside tensors whose counts the preconditions compare; each partial sum
// is written by the one item that owns it.
extension CPUBackend {
  package func adamW(_ updates: [ParameterUpdate], _ step: AdamWStep) {
    precondition(step.step >= 1, "steps count from 1")
    for update in updates { adamW(update, step) }
  }

  private func adamW(_ update: ParameterUpdate, _ step: AdamWStep) {
    let (parameter, gradient) = (update.parameter, update.gradient)
    let (firstMoment, secondMoment) = (update.moments[0], update.moments[1])
    let kernel = rows
    let constants = step.constants(interpolating: firstMoment.scales == nil)
    runBlocks(
      parameter.count, (firstMoment, DynamicMap.signed), (secondMoment, DynamicMap.unsigned)
    ) { range, first, second in
      let start = range.lowerBound
      withUnsafePointer(to: constants) {
        kernel.adamw(
          range.count, parameter.floatAddress(at: start), gradient.floatAddress(at: start),
          first, second, $0)
      }
    }
  }

  package func lion(_ updates: [ParameterUpdate], _ step: LionStep) {
    for update in updates { lion(update, step) }
  }

  private func lion(_ update: ParameterUpdate, _ step: LionStep) {
    let (parameter, gradient) = (update.parameter, update.gradient)
    let kernel = rows
    let constants = step.constants
    runBlocks(parameter.count, (update.moments[0], DynamicMap.signed), nil) { range, mean, _ in
      let start = range.lowerBound
      withUnsafePointer(to: constants) {
        kernel.lion(
          range.count, parameter.floatAddress(at: start), gradient.floatAddress(at: start), mean,
          $0)
      }
    }
  }

  package func sgd(_ updates: [ParameterUpdate], _ step: SGDStep) {
    for update in updates { sgd(update, step) }
  }

  private func sgd(_ update: ParameterUpdate, _ step: SGDStep) {
    let (parameter, gradient) = (update.parameter, update.gradient)
    let moment = update.moments.first?.values
    let kernel = rows
    let constants = step.constants
    runChunks(parameter.count) { range in
      let start = range.lowerBound
      withUnsafePointer(to: constants) {
        kernel.sgd(
          range.count, parameter.floatAddress(at: start), gradient.floatAddress(at: start),
          moment?.floatAddress(at: start), $0)
      }
    }
  }

  package func sumOfSquares(_ tensor: Tensor) -> Double {
    let chunks = (tensor.count + Self.chunkElements - 1) / Self.chunkElements
    let kernel = rows
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: max(1, chunks)) { sums in
      runChunks(tensor.count) { range in
        sums[range.lowerBound / Self.chunkElements] = kernel.sum_of_squares(
          range.count, tensor.address(at: range.lowerBound), tensor.dtype.element)
      }
      return sums[..<chunks].reduce(0, +)
    }
  }
}
