// The bytes of a GGUF header in the making: little-endian integers, counted texts, typed values.

struct GGUFBytes {
  private(set) var bytes: [UInt8] = []

  mutating func append(contentsOf more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

  mutating func append(_ value: some FixedWidthInteger) {
    for index in 0..<(type(of: value).bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> (index * 8)))
    }
  }

  mutating func append(_ text: String) {
    append(UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }

  mutating func append(_ value: GGUFValue) {
    switch value {
    case .integer(let number, let type): append(number, as: type)
    case .uint64(let number): append(number)
    case .float32(let number): append(number.bitPattern)
    case .float64(let number): append(number.bitPattern)
    case .bool(let flag): append(UInt8(flag ? 1 : 0))
    case .string(let text): append(text)
    case .array(let array):
      append(array.type.rawValue)
      append(UInt64(array.count))
      append(array)
    }
  }

  private mutating func append(_ array: GGUFArray) {
    switch array {
    case .bytes(let values): append(contentsOf: values)
    case .integers(let values, let type): for value in values { append(value, as: type) }
    case .unsigned(let values): for value in values { append(value) }
    case .floats(let values): for value in values { append(value.bitPattern) }
    case .doubles(let values): for value in values { append(value.bitPattern) }
    case .bools(let values): for value in values { append(UInt8(value ? 1 : 0)) }
    case .strings(let values): for value in values { append(value) }
    }
  }

  /// The low bytes, as many as the type has.
  private mutating func append(_ number: Int64, as type: GGUFValueType) {
    for index in 0..<type.minimumBytes {
      bytes.append(UInt8(truncatingIfNeeded: number >> (index * 8)))
    }
  }
}

extension GGUFValue {
  var type: GGUFValueType {
    switch self {
    case .integer(_, let type): type
    case .uint64: .uint64
    case .float32: .float32
    case .float64: .float64
    case .bool: .bool
    case .string: .string
    case .array: .array
    }
  }

  /// A count or a token, as converters write it.
  package static func uint32(_ value: Int) -> GGUFValue { .integer(Int64(value), .uint32) }
}

extension GGUFArray {
  var type: GGUFValueType {
    switch self {
    case .bytes: .uint8
    case .integers(_, let type): type
    case .unsigned: .uint64
    case .floats: .float32
    case .doubles: .float64
    case .bools: .bool
    case .strings: .string
    }
  }
}
