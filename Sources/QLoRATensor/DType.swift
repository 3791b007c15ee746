// Element types of tensors in memory and in files.

/// An element type. Only `float32` and `bfloat16` (and `float16` on read) take part in arithmetic;
/// the rest exist so that files can be read, shown and refused with a clear message.
package enum DType: String, Sendable, CaseIterable {
  case float64, float32, float16, bfloat16
  case int64, int32, int16, int8
  case uint64, uint32, uint16, uint8
  case bool

  /// Bytes per element.
  package var byteSize: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .int8, .uint8, .bool: 1
    }
  }

  package var isFloatingPoint: Bool {
    switch self {
    case .float64, .float32, .float16, .bfloat16: true
    default: false
    }
  }
}

/// The extents of a tensor, outermost first; `[tokens, hidden]` for activations,
/// `[out, in]` for the weight of a linear.
package struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  package let extents: [Int]

  package init(_ extents: [Int]) { self.extents = extents }
  package init(arrayLiteral elements: Int...) { self.extents = elements }

  package var count: Int { extents.reduce(1, *) }
  package var rank: Int { extents.count }
  package subscript(axis: Int) -> Int { extents[axis < 0 ? extents.count + axis : axis] }
  package var description: String { "[" + extents.map(String.init).joined(separator: ", ") + "]" }
}
