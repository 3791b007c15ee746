// One tensor of a safetensors file as its header tells it, and the format's names of element types.
import QLoRATensor

/// A tensor's name, type, shape and place in its file.
package struct TensorEntry: Sendable, Equatable {
  package let name: String
  package let dtype: DType
  package let shape: Shape
  /// From the start of the file, header included.
  package let byteRange: Range<Int>
}

extension DType {
  /// The format's name, such as `BF16`.
  package var safetensorsName: String {
    switch self {
    case .float64: "F64"
    case .float32: "F32"
    case .float16: "F16"
    case .bfloat16: "BF16"
    case .int64: "I64"
    case .int32: "I32"
    case .int16: "I16"
    case .int8: "I8"
    case .uint64: "U64"
    case .uint32: "U32"
    case .uint16: "U16"
    case .uint8: "U8"
    case .bool: "BOOL"
    }
  }

  package init?(safetensorsName name: String) {
    guard let match = Self.safetensorsOrder.first(where: { $0.safetensorsName == name }) else {
      return nil
    }
    self = match
  }

  /// The order in which the reference library lays tensors out: widest first, so that every tensor
  /// is aligned when the data begin at a multiple of eight.
  static let safetensorsOrder: [DType] = [
    .uint64, .int64, .float64, .float32, .uint32, .int32, .bfloat16, .float16, .uint16, .int16,
    .int8, .uint8, .bool,
  ]

  /// Types that the format defines and this program does not compute with.
  static let foreignSafetensorsNames: Set<String> = [
    "F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E5M2FNUZ", "F8_E4M3FNUZ",
    "C64",
  ]
}
