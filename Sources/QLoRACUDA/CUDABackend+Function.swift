// Functions of each element with their slopes, and copies of columns.
import QLoRATensor

extension ElementFunction {
  /// The kernels' name of this function.
  fileprivate var number: Int32 {
    switch self {
    case .geluSigmoid: 0
    case .silu: 1
    case .tanh: 2
    case .relu: 3
    }
  }
}

extension CUDABackend {
  package func apply(_ function: ElementFunction, to input: Tensor, into output: Tensor) {
    precondition(input.count == output.count)
    launch(
      "qlora_function", overPiecesOf: input.count,
      [
        function.number, read(input), input.dtype.element, write(output), output.dtype.element,
        input.count,
      ])
  }

  package func applyBackward(
    _ function: ElementFunction, _ outputGradient: Tensor, input: Tensor, inputGradient: Tensor
  ) {
    precondition(input.count == outputGradient.count && inputGradient.count == input.count)
    launch(
      "qlora_function_backward", overPiecesOf: input.count,
      [
        function.number, read(outputGradient), read(input), input.dtype.element,
        write(inputGradient), input.count,
      ])
  }
}
