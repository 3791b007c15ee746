// The arguments of a kernel as the driver takes them: a pointer to each.
import CQLoRACUDA
import QLoRATensor

/// A value that a kernel takes by value: of a fixed layout, without references.
protocol KernelArgument {}

extension Int32: KernelArgument {}
/// `i64` in a kernel.
extension Int: KernelArgument {}
/// `u64`, or a pointer to device memory.
extension UInt64: KernelArgument {}
extension Float: KernelArgument {}
extension qlora_cuda_four_bit: KernelArgument {}
extension qlora_cuda_few_terms: KernelArgument {}
extension qlora_cuda_product_matrix: KernelArgument {}
extension qlora_cuda_copies: KernelArgument {}
extension qlora_cuda_moment_map: KernelArgument {}
extension qlora_cuda_adamw: KernelArgument {}
extension qlora_cuda_lion: KernelArgument {}
extension qlora_cuda_attention_shape: KernelArgument {}
extension qlora_cuda_cached_shape: KernelArgument {}
extension qlora_cuda_attention_inputs: KernelArgument {}
extension qlora_cuda_tile_shape: KernelArgument {}
extension qlora_cuda_tile_inputs: KernelArgument {}
extension qlora_cuda_image_window: KernelArgument {}

extension DType {
  /// The kernels' name of this type.
  var element: Int32 {
    switch self {
    case .float32: 0
    case .bfloat16: 1
    case .float16: 2
    default: preconditionFailure("no kernel computes with \(self)")
    }
  }
}

// SAFETY: each argument lies in words of its own, and the pointers to them live as long as the call
// that gets them.
struct KernelArguments {
  private var words: [UInt64] = []
  private var places: [Int] = []

  init(_ values: [any KernelArgument]) {
    places.reserveCapacity(values.count)
    words.reserveCapacity(2 * values.count)
    for value in values { append(value) }
  }

  private mutating func append<Value: KernelArgument>(_ value: Value) {
    places.append(words.count)
    let count = (MemoryLayout<Value>.size + 7) / 8
    words.append(contentsOf: repeatElement(0, count: count))
    let place = places[places.count - 1]
    words.withUnsafeMutableBytes { bytes in
      withUnsafeBytes(of: value) {
        UnsafeMutableRawBufferPointer(rebasing: bytes[(place * 8)...]).copyMemory(from: $0)
      }
    }
  }

  mutating func withPointers<Result>(
    _ body: (UnsafeMutablePointer<UnsafeMutableRawPointer?>) -> Result
  ) -> Result {
    let places = places
    return words.withUnsafeMutableBytes { words in
      var pointers = places.map { place in words.baseAddress.map { $0 + place * 8 } }
      pointers.append(nil)
      return pointers.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
    }
  }
}
