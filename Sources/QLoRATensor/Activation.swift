// The activations of an MLP.

package enum Activation: String, Sendable, Hashable {
  /// x·σ(x). Source: Elfwing et al. 2017, arXiv:1702.03118.
  case silu
  /// x·Φ(x). Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
  case gelu
  /// The same with the paper's approximation of Φ by tanh.
  case geluTanh
  /// max(x, 0).
  case relu
}

/// What `activation(gate) · up` reads, or `activation(gate)` where nothing is gated.
package struct ActivationInputs: Sendable {
  package var activation: Activation
  package var gate: Tensor
  package var up: Tensor?

  package init(_ activation: Activation, gate: Tensor, up: Tensor?) {
    precondition(activation != .silu || up != nil, "silu is gated in every family")
    precondition(activation != .relu, "relu is gated in no family, and a function of its own")
    self.activation = activation
    self.gate = gate
    self.up = up
  }
}

extension Backend {
  /// `activation(gate) · up` in the gate's type and shape.
  func activated(_ inputs: ActivationInputs) -> Tensor {
    let output = allocate(inputs.gate.shape, inputs.gate.dtype)
    if inputs.activation == .silu, let up = inputs.up {
      siluMultiply(inputs.gate, up, into: output)
    } else {
      geluMultiply(inputs.gate, inputs.up, inputs.activation, into: output)
    }
    return output
  }

  /// The gradients of gate and up, float32. They are the widest of a block: the gate's takes the
  /// place of `outputGradient`.
  func activationGradients(_ outputGradient: Tensor, _ inputs: ActivationInputs) -> [Tensor] {
    let upGradient = inputs.up.map { allocate($0.shape, .float32) }
    if inputs.activation == .silu, let up = inputs.up, let upGradient {
      siluMultiplyBackward(
        outputGradient, gate: inputs.gate, up: up, gateGradient: outputGradient,
        upGradient: upGradient)
    } else {
      geluMultiplyBackward(
        outputGradient, gate: inputs.gate, up: inputs.up, inputs.activation,
        gateGradient: outputGradient, upGradient: upGradient)
    }
    return [outputGradient] + (upGradient.map { [$0] } ?? [])
  }
}
