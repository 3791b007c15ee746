// The optimizers' updates, and what is asked of all gradients at once: a kernel goes over a list of
// tensors, in parts that it counts through the list.
import CQLoRACUDA
import QLoRATensor

/// Tensors as kernels of lists take them.
private struct TensorList {
  /// Elements that a block of a kernel has.
  private static let partElements = 4096

  /// What each tensor has for kernels, and then its count and the number of its first part.
  private(set) var words: [UInt64] = []
  private(set) var tensors = 0
  private(set) var parts = 0

  mutating func append(_ own: [UInt64], count: Int, marked mark: UInt64 = 0) {
    words += own + [UInt64(count), mark | UInt64(parts)]
    tensors += 1
    parts += (count + Self.partElements - 1) / Self.partElements
  }
}

extension CUDABackend {
  // MARK: Gradients

  package func sumOfSquares(_ tensor: Tensor) -> Double { sumsOfSquares([tensor])[0] }

  package func sumsOfSquares(_ tensors: [Tensor]) -> [Double] {
    let list = list(tensors, read)
    let sums = allocate([max(1, list.parts)], .float64)
    let totals = allocate([tensors.count], .float64)
    launch("qlora_squares", list, [write(sums)])
    kernels.launch(
      "qlora_totals", grid: (list.tensors, 1, 1), threads: Self.elementThreads,
      [address(list), read(sums), write(totals)])
    return totals.withElements(Double.self) { Array($0) }
  }

  package func scale(_ tensors: [Tensor], by factor: Float) {
    launch("qlora_scale_list", list(tensors, write), [factor, Int32(0)])
  }

  package func clear(_ tensors: [Tensor]) {
    launch("qlora_scale_list", list(tensors, write), [Float(0), Int32(1)])
  }

  /// Of each tensor its address, and its type in the upper half of the last word.
  private func list(_ tensors: [Tensor], _ address: (Tensor) -> DeviceAddress) -> TensorList {
    var list = TensorList()
    for tensor in tensors {
      list.append(
        [address(tensor)], count: tensor.count, marked: UInt64(tensor.dtype.element) << 32)
    }
    return list
  }

  // MARK: Updates

  package func adamW(_ updates: [ParameterUpdate], _ step: AdamWStep) {
    precondition(step.step >= 1, "steps count from 1")
    let k = step.constants(interpolatingMean: false)
    let constants = qlora_cuda_adamw(
      decay: k.decay, first_weight: k.firstWeight, beta2: k.beta2, second_weight: k.secondWeight,
      correction2_root: k.correction2Root, epsilon: k.epsilon,
      negative_step_size: k.negativeStepSize, beta1: k.firstDecay)
    launch(
      "qlora_adamw", list(updates), [argument(tables.signed), argument(tables.unsigned), constants])
  }

  package func lion(_ updates: [ParameterUpdate], _ step: LionStep) {
    let constants = qlora_cuda_lion(
      decay: Float(1 - step.learningRate * step.weightDecay), beta1: Float(step.beta1),
      update_weight: Float(1 - step.beta1), beta2: Float(step.beta2),
      mean_weight: Float(1 - step.beta2), rate: Float(step.learningRate))
    launch("qlora_lion", list(updates), [argument(tables.signed), constants])
  }

  package func sgd(_ updates: [ParameterUpdate], _ step: SGDStep) {
    launch(
      "qlora_sgd", list(updates),
      [Float(step.weightDecay), Float(step.momentum), Float(-step.learningRate)])
  }

  /// Of each parameter the addresses of its value, its gradient and two states.
  private func list(_ updates: [ParameterUpdate]) -> TensorList {
    var list = TensorList()
    for update in updates {
      precondition(update.gradient.count == update.parameter.count && update.moments.count <= 2)
      var own = [write(update.parameter), read(update.gradient)]
      for place in 0..<2 {
        own += place < update.moments.count ? addresses(update.moments[place]) : [0, 0, 0]
      }
      list.append(own, count: update.parameter.count)
    }
    return list
  }

  /// Of values in float32, or of codes and their scales.
  private func addresses(_ moment: OptimizerMoment) -> [DeviceAddress] {
    guard let scales = moment.scales else { return [write(moment.values), 0, 0] }
    return [0, write(moment.values), write(scales)]
  }

  private func argument(_ map: DeviceTables.Map) -> qlora_cuda_moment_map {
    qlora_cuda_moment_map(values: read(map.values), lookup: read(map.lookup))
  }

  // MARK: Lists

  private func address(_ list: TensorList) -> DeviceAddress { read(lists.tensor(list.words)) }

  /// Enqueues a kernel with a block for each part of a list.
  private func launch(
    _ kernel: String, _ list: TensorList, _ arguments: [any KernelArgument]
  ) {
    if list.parts == 0 { return }
    kernels.launch(
      kernel, grid: (list.parts, 1, 1), threads: Self.elementThreads,
      [address(list), Int32(list.tensors)] + arguments)
  }
}
