// Element-wise operations: activations and their gradients, caps, sums, conversions, scaling.
import QLoRATensor

extension CUDABackend {
  package func siluMultiply(_ gate: Tensor, _ up: Tensor, into output: Tensor) {
    precondition(gate.count == up.count && output.count == gate.count)
    launch(
      "qlora_silu_multiply", overPiecesOf: gate.count,
      [
        read(gate), gate.dtype.element, read(up), up.dtype.element, write(output),
        output.dtype.element, gate.count,
      ])
  }

  package func siluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor, gateGradient: Tensor, upGradient: Tensor
  ) {
    activationBackward(
      outputGradient, ActivationInputs(.silu, gate: gate, up: up),
      gateGradient: writable(gateGradient), upGradient: writable(upGradient))
  }

  package func geluMultiply(
    _ gate: Tensor, _ up: Tensor?, _ activation: Activation, into output: Tensor
  ) {
    precondition(activation != .silu && output.count == gate.count)
    precondition(up == nil || up?.count == gate.count)
    launch(
      "qlora_gelu_multiply", overPiecesOf: gate.count,
      [
        Int32(activation == .geluTanh ? 1 : 0), read(gate), gate.dtype.element,
        up.map(read) ?? 0, up?.dtype.element ?? 0, write(output), output.dtype.element, gate.count,
      ])
  }

  package func geluMultiplyBackward(
    _ outputGradient: Tensor, gate: Tensor, up: Tensor?, _ activation: Activation,
    gateGradient: Tensor, upGradient: Tensor?
  ) {
    precondition(activation != .silu)
    activationBackward(
      outputGradient, ActivationInputs(activation, gate: gate, up: up),
      gateGradient: writable(gateGradient), upGradient: upGradient.map(writable))
  }

  /// The gradients of gate and up where a product reads them, in its type and beside others.
  func activationBackward(
    _ outputGradient: Tensor, _ inputs: ActivationInputs, gateGradient: DeviceMatrix,
    upGradient: DeviceMatrix?
  ) {
    let (gate, up) = (inputs.gate, inputs.up)
    precondition(outputGradient.dtype == .float32 && outputGradient.count == gate.count)
    precondition((up == nil) == (upGradient == nil) && up?.count ?? gate.count == gate.count)
    precondition([nil, gateGradient.stride].contains(upGradient?.stride))
    precondition([nil, gateGradient.dtype].contains(upGradient?.dtype))
    // Without anything between the rows they are one.
    let rows = gateGradient.stride == gate.shape[-1] ? 1 : gate.count / gate.shape[-1]
    let columns = gate.count / rows
    let arguments: [any KernelArgument] = [
      read(outputGradient), read(gate), gate.dtype.element, up.map(read) ?? 0,
      up?.dtype.element ?? 0, gateGradient.address, upGradient?.address ?? 0,
      gateGradient.dtype.element, rows, columns, gateGradient.stride,
    ]
    if inputs.activation == .silu {
      launch("qlora_silu_multiply_backward", overPiecesOf: columns, rows: rows, arguments)
    } else {
      let byTanh: Int32 = inputs.activation == .geluTanh ? 1 : 0
      launch(
        "qlora_gelu_multiply_backward", overPiecesOf: columns, rows: rows, [byTanh] + arguments)
    }
  }

  package func cap(_ tensor: Tensor, at cap: Float) {
    precondition(tensor.dtype == .float32)
    launch("qlora_cap", overPiecesOf: tensor.count, [write(tensor), cap, tensor.count])
  }

  package func add(_ left: Tensor, _ right: Tensor, into output: Tensor) {
    precondition(left.count == right.count && output.count == left.count)
    launch(
      "qlora_add", overPiecesOf: left.count,
      [
        read(left), left.dtype.element, read(right), right.dtype.element, write(output),
        output.dtype.element, left.count,
      ])
  }

  package func convert(_ input: Tensor, into output: Tensor) {
    precondition(input.count == output.count)
    let (from, to) = (line(input, read(input)), line(output, write(output)))
    copy(from, to: to, rows: 1, columns: input.count)
  }

  /// All elements as one row.
  private func line(_ tensor: Tensor, _ address: DeviceAddress) -> DeviceMatrix {
    DeviceMatrix(address: address, dtype: tensor.dtype, stride: tensor.count)
  }

  package func scale(_ tensor: Tensor, by factor: Float) {
    launch(
      "qlora_scale", overPiecesOf: tensor.count,
      [write(tensor), tensor.dtype.element, factor, tensor.count])
  }

  /// The tensor in float32: itself if it already is.
  func widened(_ input: Tensor) -> Tensor {
    if input.dtype == .float32 { return input }
    let output = allocate(input.shape, .float32)
    convert(input, into: output)
    return output
  }
}
