// The optimizers' updates, and the sum of squares that clipping needs.
import CQLoRACUDA
import QLoRATensor

extension CUDABackend {
  package func adamW(
    parameter: Tensor, gradient: Tensor, firstMoment: OptimizerMoment,
    secondMoment: OptimizerMoment, _ step: AdamWStep
  ) {
    precondition(step.step >= 1, "steps count from 1")
    precondition(gradient.count == parameter.count)
    let k = step.constants(interpolatingMean: firstMoment.scales == nil)
    let constants = qlora_cuda_adamw(
      decay: k.decay, first_weight: k.firstWeight, beta2: k.beta2, second_weight: k.secondWeight,
      correction2_root: k.correction2Root, epsilon: k.epsilon,
      negative_step_size: k.negativeStepSize, first_decay: k.firstDecay)
    launchBlocks(
      "qlora_adamw", parameter.count,
      [
        write(parameter), read(gradient), argument(firstMoment, tables.signed),
        argument(secondMoment, tables.unsigned), constants, parameter.count,
      ])
  }

  package func lion(
    parameter: Tensor, gradient: Tensor, moment: OptimizerMoment, _ step: LionStep
  ) {
    precondition(gradient.count == parameter.count)
    let constants = qlora_cuda_lion(
      decay: Float(1 - step.learningRate * step.weightDecay), beta1: Float(step.beta1),
      update_weight: Float(1 - step.beta1), beta2: Float(step.beta2),
      mean_weight: Float(1 - step.beta2), rate: Float(step.learningRate))
    launchBlocks(
      "qlora_lion", parameter.count,
      [
        write(parameter), read(gradient), argument(moment, tables.signed), constants,
        parameter.count,
      ])
  }

  package func sgd(parameter: Tensor, gradient: Tensor, moment: Tensor?, _ step: SGDStep) {
    precondition(gradient.count == parameter.count)
    precondition(moment == nil || moment?.count == parameter.count)
    launchBlocks(
      "qlora_sgd", parameter.count,
      [
        write(parameter), read(gradient), moment.map(write) ?? 0, Float(step.weightDecay),
        Float(step.momentum), Float(-step.learningRate), parameter.count,
      ])
  }

  package func sumOfSquares(_ tensor: Tensor) -> Double { sumOfSquares([tensor]) }

  package func sumOfSquares(_ tensors: [Tensor]) -> Double {
    let totals = allocate([max(1, tensors.count)], .float64)
    totals.zero()
    for (index, tensor) in tensors.enumerated() where tensor.count > 0 {
      // As many elements as a block of the kernel has.
      let chunks = (tensor.count + 4095) / 4096
      let sums = allocate([chunks], .float64)
      kernels.launch(
        "qlora_squares", grid: (chunks, 1, 1), threads: 256,
        [read(tensor), tensor.dtype.element, tensor.count, write(sums)])
      kernels.launch(
        "qlora_total", grid: (1, 1, 1), threads: 256,
        [read(sums), chunks, write(totals) + DeviceAddress(index * 8)])
    }
    return totals.withElements(Double.self) { $0[..<tensors.count].reduce(0, +) }
  }

  /// A state as kernels take it.
  private func argument(
    _ moment: OptimizerMoment, _ map: DeviceTables.Map
  ) -> qlora_cuda_moment {
    guard let scales = moment.scales else {
      return qlora_cuda_moment(
        values: write(moment.values), codes: 0, scales: 0, map: 0, lookup: 0)
    }
    return qlora_cuda_moment(
      values: 0, codes: write(moment.values), scales: write(scales), map: read(map.values),
      lookup: read(map.lookup))
  }

  /// Enqueues a kernel whose blocks have `OptimizerMoment.blockSize` elements each.
  private func launchBlocks(_ kernel: String, _ count: Int, _ arguments: [any KernelArgument]) {
    let size = OptimizerMoment.blockSize
    kernels.launch(kernel, grid: ((count + size - 1) / size, 1, 1), threads: size, arguments)
  }
}
