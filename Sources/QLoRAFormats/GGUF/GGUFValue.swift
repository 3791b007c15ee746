// Metadata values of GGUF, typed as the file types them.
import QLoRADiagnostics

/// The types of metadata values, numbered as in the file.
package enum GGUFValueType: UInt32, Sendable {
  case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array
  case uint64, int64, float64

  /// Bytes of one value, or the least of a string.
  var minimumBytes: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .string, .uint64, .int64, .float64: 8
    case .array: 12
    }
  }
}

/// An array of one type. Bytes stay bytes, so that no array grows much beyond its size in the file.
package enum GGUFArray: Sendable, Equatable {
  case bytes([UInt8])
  /// Of any of the types of 8 to 64 bits but unsigned bytes and unsigned 64 bits.
  case integers([Int64], GGUFValueType)
  case unsigned([UInt64])
  case floats([Float])
  case doubles([Double])
  case bools([Bool])
  case strings([String])

  package var count: Int {
    switch self {
    case .bytes(let values): values.count
    case .integers(let values, _): values.count
    case .unsigned(let values): values.count
    case .floats(let values): values.count
    case .doubles(let values): values.count
    case .bools(let values): values.count
    case .strings(let values): values.count
    }
  }
}

/// One metadata value.
package enum GGUFValue: Sendable, Equatable {
  case integer(Int64, GGUFValueType)
  case uint64(UInt64)
  case float32(Float)
  case float64(Double)
  case bool(Bool)
  case string(String)
  case array(GGUFArray)

  /// Any integer that fits; nil for every other value.
  package var int: Int? {
    switch self {
    case .integer(let value, _): Int(exactly: value)
    case .uint64(let value): Int(exactly: value)
    default: nil
    }
  }

  /// A float, or an integer as one.
  package var double: Double? {
    switch self {
    case .float32(let value): Double(value)
    case .float64(let value): value
    case .integer(let value, _): Double(value)
    case .uint64(let value): Double(value)
    default: nil
    }
  }

  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: GGUFArray? { if case .array(let value) = self { value } else { nil } }
  package var strings: [String]? {
    if case .array(.strings(let values)) = self { values } else { nil }
  }

  /// What the value is, as an error message says it.
  package var kindName: String {
    switch self {
    case .integer, .uint64: "an integer"
    case .float32, .float64: "a float"
    case .bool: "a boolean"
    case .string: "a string"
    case .array: "an array"
    }
  }
}

extension GGUFCursor {
  mutating func value(_ type: GGUFValueType) throws(Diagnostic) -> GGUFValue {
    switch type {
    case .uint8: .integer(Int64(try integer(UInt8.self)), type)
    case .int8: .integer(Int64(try integer(Int8.self)), type)
    case .uint16: .integer(Int64(try integer(UInt16.self)), type)
    case .int16: .integer(Int64(try integer(Int16.self)), type)
    case .uint32: .integer(Int64(try integer(UInt32.self)), type)
    case .int32: .integer(Int64(try integer(Int32.self)), type)
    case .int64: .integer(try integer(Int64.self), type)
    case .uint64: .uint64(try integer(UInt64.self))
    case .float32: .float32(Float(bitPattern: try integer(UInt32.self)))
    case .float64: .float64(Double(bitPattern: try integer(UInt64.self)))
    case .bool: .bool(try bool())
    case .string: .string(try string())
    case .array: .array(try array())
    }
  }

  mutating func valueType() throws(Diagnostic) -> GGUFValueType {
    let number = try integer(UInt32.self)
    guard let type = GGUFValueType(rawValue: number) else {
      throw failure(.ggufValueType, "unknown value type \(number)", at: offset - 4)
    }
    return type
  }

  /// Element type, count, elements; the count is bounded by the bytes left before it is believed.
  private mutating func array() throws(Diagnostic) -> GGUFArray {
    let place = offset
    let type = try valueType()
    guard type != .array else { throw failure(.ggufArray, "an array of arrays", at: place) }
    let room = (remaining - 8) / type.minimumBytes
    let countPlace = offset
    let count = try count(limit: min(1 << 30, room), .ggufArray, "array elements")
    if type != .uint8, type != .string { try claim(elements: count, at: countPlace) }
    switch type {
    case .uint8: return .bytes(Array(try bytes(count)))
    case .int8, .uint16, .int16, .uint32, .int32, .int64:
      return .integers(
        try elements(count) { cursor throws(Diagnostic) in
          guard case .integer(let value, _) = try cursor.value(type) else { return 0 }
          return value
        }, type)
    case .uint64:
      return .unsigned(try elements(count) { cursor throws(Diagnostic) in try cursor.integer() })
    case .float32:
      return .floats(
        try elements(count) { cursor throws(Diagnostic) in
          Float(bitPattern: try cursor.integer())
        })
    case .float64:
      return .doubles(
        try elements(count) { cursor throws(Diagnostic) in
          Double(bitPattern: try cursor.integer())
        })
    case .bool:
      return .bools(try elements(count) { cursor throws(Diagnostic) in try cursor.bool() })
    case .string, .array:
      return .strings(try elements(count) { cursor throws(Diagnostic) in try cursor.string() })
    }
  }

  private mutating func elements<Element>(
    _ count: Int, _ read: (inout GGUFCursor) throws(Diagnostic) -> Element
  ) throws(Diagnostic) -> [Element] {
    var elements: [Element] = []
    // A truncated file must not make us reserve what it merely claims.
    elements.reserveCapacity(min(count, 1 << 16))
    for _ in 0..<count { elements.append(try read(&self)) }
    return elements
  }
}
