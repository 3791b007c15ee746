// Element-wise operations: activations and their gradients, sums, conversions, scaling.
import CQLoRAKernels
import QLoRATensor

// SAFETY: every range lies inside tensors whose counts the preconditions compare, and the tensors
// outlive the call.
extension CPUBackend {
  package func siluMultiply(_ gate: Tensor, _ up: Tensor, into output: Tensor) {
    precondition(gate.count == up.count && output.count == gate.count)
    precondition(gate.dtype.isActivation && up.dtype.isActivation && output.dtype.isActivation)
    let kernel = rows
    runChunks(gate.count) { range in
      let start = range.lowerBound
      kernel.silu_multiply(
        range.count, gate.address(at: start), gate.dtype.element, up.address(at: start),
        up.dtype.element, output.address(at: start), output.dtype.element)
    }
  }

  package func siluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor, gateGradient: Tensor, upGradient: Tensor
  ) {
    precondition(gate.count == up.count && outputGradient.count == gate.count)
    precondition(gateGradient.count == gate.count && upGradient.count == gate.count)
    let kernel = rows
    runChunks(gate.count) { range in
      let start = range.lowerBound
      kernel.silu_multiply_backward(
        range.count, outputGradient.floatAddress(at: start), gate.address(at: start),
        gate.dtype.element, up.address(at: start), up.dtype.element,
        gateGradient.floatAddress(at: start), upGradient.floatAddress(at: start))
    }
  }

  package func geluMultiply(
    _ gate: Tensor, _ up: Tensor?, _ activation: Activation, into output: Tensor
  ) {
    precondition(activation != .silu && output.count == gate.count)
    precondition(up == nil || up?.count == gate.count)
    precondition(gate.dtype.isActivation && output.dtype.isActivation)
    let kernel = rows
    runChunks(gate.count) { range in
      let start = range.lowerBound
      kernel.gelu_multiply(
        range.count, activation == .geluTanh ? 1 : 0, gate.address(at: start),
        gate.dtype.element, up?.address(at: start), (up ?? gate).dtype.element,
        output.address(at: start), output.dtype.element)
    }
  }

  package func geluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor?, _ activation: Activation,
    gateGradient: Tensor, upGradient: Tensor?
  ) {
    precondition(activation != .silu && (up == nil) == (upGradient == nil))
    precondition(outputGradient.count == gate.count && gateGradient.count == gate.count)
    precondition([up, upGradient].allSatisfy { $0 == nil || $0?.count == gate.count })
    let kernel = rows
    runChunks(gate.count) { range in
      let start = range.lowerBound
      kernel.gelu_multiply_backward(
        range.count, activation == .geluTanh ? 1 : 0, outputGradient.floatAddress(at: start),
        gate.address(at: start), gate.dtype.element, up?.address(at: start),
        (up ?? gate).dtype.element, gateGradient.floatAddress(at: start),
        upGradient?.floatAddress(at: start))
    }
  }

  package func cap(_ tensor: Tensor, at cap: Float) {
    let kernels = product
    runChunks(tensor.count) { range in
      kernels.cap(range.count, tensor.floatAddress(at: range.lowerBound), cap)
    }
  }

  package func add(_ left: Tensor, _ right: Tensor, into output: Tensor) {
    precondition(left.count == right.count && output.count == left.count)
    let kernel = rows
    runChunks(left.count) { range in
      let start = range.lowerBound
      kernel.add(
        range.count, left.address(at: start), left.dtype.element, right.address(at: start),
        right.dtype.element, output.address(at: start), output.dtype.element)
    }
  }

  package func clear(_ tensor: Tensor) {
    let rows = tensor.shape[0]
    runRows(rows, width: tensor.count / max(1, rows)) { tensor.rows($0).zero() }
  }

  package func convert(_ input: Tensor, into output: Tensor) {
    precondition(input.count == output.count)
    let kernel = rows
    runChunks(input.count) { range in
      let start = range.lowerBound
      kernel.convert(
        range.count, input.address(at: start), input.dtype.element, output.address(at: start),
        output.dtype.element)
    }
  }

  package func scale(_ tensor: Tensor, by factor: Float) {
    let kernel = rows
    runChunks(tensor.count) { range in
      kernel.scale(
        range.count, tensor.address(at: range.lowerBound), tensor.dtype.element, factor)
    }
  }
}
