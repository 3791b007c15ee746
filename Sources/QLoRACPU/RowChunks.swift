// How row and element kernels are shared out: in chunks whose borders depend on the data's shape
// alone, so that no result depends on the number of threads.
import CQLoRAKernels
import QLoRATensor

extension DType {
  /// The kernels' name of this type.
  var element: qlora_element {
    switch self {
    case .float32: qlora_element_f32
    case .bfloat16: qlora_element_bf16
    case .float16: qlora_element_f16
    default: preconditionFailure("no kernel computes with \(self)")
    }
  }

  /// Whether activations may have this type.
  var isActivation: Bool { [.float32, .bfloat16, .float16].contains(self) }
}

extension CPUBackend {
  /// Elements per chunk: 64 KiB of float32, small beside a second-level cache, large beside the
  /// cost of handing out an item.
  static let chunkElements = 16_384

  var rows: qlora_row_kernels { kernels.pointee.rows.pointee }

  /// Calls `body` with ranges that together cover `0 ..< count`.
  func runChunks(_ count: Int, size: Int = chunkElements, _ body: (Range<Int>) -> Void) {
    threadPool.run((count + size - 1) / size) { item in
      body(item * size..<min(count, (item + 1) * size))
    }
  }

  /// As above over rows of `width` elements each.
  func runRows(_ rows: Int, width: Int, _ body: (Range<Int>) -> Void) {
    runChunks(rows, size: max(1, Self.chunkElements / max(1, width)), body)
  }
}

// SAFETY: an index past the end is a mistake of the caller, which bounds it by the tensor's shape;
// the address is valid as long as the tensor.
extension Tensor {
  /// The address of one element.
  func address(at index: Int) -> UnsafeMutableRawPointer { address + index * dtype.byteSize }

  /// The same for a tensor that must be float32.
  func floatAddress(at index: Int) -> UnsafeMutablePointer<Float> {
    precondition(dtype == .float32, "expected float32, found \(dtype)")
    return pointer(Float.self) + index
  }
}
