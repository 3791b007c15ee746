// A trainable tensor: what the optimizer sees.

/// A named fp32 tensor that training changes, with the gradient that backward passes add to.
package final class Parameter: Sendable {
  /// As PEFT names it, such as
  /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
  package let name: String
  package let value: Tensor
  package let gradient: Tensor

  /// - Parameter gradient: zeros of its own where none are given.
  package init(name: String, value: Tensor, gradient: Tensor? = nil) {
    precondition(value.dtype == .float32)
    self.name = name
    self.value = value
    self.gradient = gradient ?? Tensor(zeros: value.shape)
  }
}
