// The wire format of protocol buffers, as far as event files need it.

/// Source: Protocol Buffers documentation, "Encoding".
enum Protobuf {
  private enum Wire { static let varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 }

  static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  private static func varint(_ value: UInt64) -> [UInt8] {
    var output: [UInt8] = []
    var rest = value
    while rest >= 0x80 {
      output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return output + [UInt8(rest)]
  }

  private static func key(_ number: Int, _ wire: Int) -> [UInt8] {
    varint(UInt64(number << 3 | wire))
  }

  static func field(_ number: Int, varint value: UInt64) -> [UInt8] {
    key(number, Wire.varint) + varint(value)
  }

  static func field(_ number: Int, double value: Double) -> [UInt8] {
    key(number, Wire.fixed64) + littleEndian(value.bitPattern)
  }

  static func field(_ number: Int, float value: Float) -> [UInt8] {
    key(number, Wire.fixed32) + littleEndian(value.bitPattern)
  }

  static func field(_ number: Int, bytes: [UInt8]) -> [UInt8] {
    key(number, Wire.bytes) + varint(UInt64(bytes.count)) + bytes
  }
}
