// Where weights come from: tensors by Hugging Face names, streamed as floats in any ranges. It does
// not say how they are kept afterwards.
import QLoRADiagnostics
import QLoRATensor

/// A model's weights, whatever file they are in.
package protocol WeightSource: Sendable {
  /// Hugging Face names, such as `model.layers.0.self_attn.q_proj.weight`.
  var names: [String] { get }
  func contains(_ name: String) -> Bool
  /// The logical shape; `[out, in]` for a linear, quantized or not.
  func shape(of name: String) throws -> Shape
  /// Whether the file has the weight in a format of bitsandbytes.
  func isQuantized(_ name: String) -> Bool
  /// The type that the values had before they were quantized or, in GGUF blocks, `float32`.
  func dtype(of name: String) throws -> DType
  /// Elements `range` of the flattened tensor. For a 4-bit weight each call reads all of it: take
  /// `quantizedMatrix` there instead of streaming.
  func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>) throws
  /// The matrix as stored where it is stored in 4-bit bitsandbytes; nil for every other tensor.
  func quantizedMatrix(_ name: String) throws -> QuantizedMatrix?
  /// The same for 8 bits.
  func int8Matrix(_ name: String) throws -> Int8Matrix?
}

extension WeightSource {
  package func isQuantized(_ name: String) -> Bool { false }

  package func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? { nil }

  package func int8Matrix(_ name: String) throws -> Int8Matrix? { nil }

  /// The whole tensor in `float32`; for small tensors such as norms.
  package func tensor(_ name: String) throws -> Tensor {
    let tensor = Tensor(uninitialized: try shape(of: name), .float32)
    try tensor.withMutableElements(Float.self) {
      try readFloats(name, range: 0..<tensor.count, into: $0)
    }
    return tensor
  }
}
