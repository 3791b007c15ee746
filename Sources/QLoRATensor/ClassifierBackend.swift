// What a device must be able to do for a head that is trained as a whole, beside a frozen model.

package protocol ClassifierBackend: AnyObject, Sendable {
  /// `output [rows, out] = input·weightᵀ + bias`; `weight [out, in]`, `bias [out]` and `output` are
  /// float32.
  func denseLinear(_ input: Tensor, weight: Tensor, bias: Tensor?, into output: Tensor)
  /// Gradients of the same, float32: those of weight and bias are added to, `inputGradient [rows,
  /// in]` is written.
  func denseLinearBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inputGradient: Tensor?,
    weightGradient: Tensor, biasGradient: Tensor?)
  /// Σ over rows of `−log softmax(logits)[target]`, in double precision, and its gradient by the
  /// `logits [rows, classes]`, both float32.
  func crossEntropy(_ logits: Tensor, targets: [Int32], gradient: Tensor?) -> Double
}
