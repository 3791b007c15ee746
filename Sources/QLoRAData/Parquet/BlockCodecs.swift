// Snappy and LZ4 blocks, both a list of literals and copies of what came before. The sizes that a
// file declares are bounded by what its bytes can hold before anything is allocated.

/// Bytes being written into a result of known size.
private struct BlockOutput {
  var bytes: [UInt8]
  private(set) var count = 0

  /// - Parameter ratio: output bytes that an input byte can make at most.
  init(_ byteCount: Int, _ inputCount: Int, ratio: Int) throws(Damage) {
    guard byteCount <= (inputCount + 1) * ratio else {
      throw Damage("\(inputCount) bytes can't hold \(byteCount)")
    }
    bytes = [UInt8](repeating: 0, count: byteCount)
  }

  mutating func append(_ input: [UInt8], _ range: Range<Int>) throws(Damage) {
    guard range.count <= bytes.count - count else { throw Damage("more bytes than declared") }
    bytes.replaceSubrange(count..<count + range.count, with: input[range])
    count += range.count
  }

  /// Byte by byte: a copy may reach into what it writes.
  mutating func copy(_ length: Int, from distance: Int) throws(Damage) {
    guard distance > 0, distance <= count, length <= bytes.count - count else {
      throw Damage("a copy from outside")
    }
    for place in count..<count + length { bytes[place] = bytes[place - distance] }
    count += length
  }

  func finished() throws(Damage) -> [UInt8] {
    guard count == bytes.count else { throw Damage("\(count) bytes, expected \(bytes.count)") }
    return bytes
  }
}

enum SnappyBlock {
  /// Source: Google, "Snappy compressed format description" (format_description.txt).
  static func decompress(_ input: [UInt8], byteCount: Int) throws(Damage) -> [UInt8] {
    var cursor = ByteCursor(input)
    let declared = try cursor.count()
    guard declared == byteCount else { throw Damage("\(declared) bytes, expected \(byteCount)") }
    var output = try BlockOutput(byteCount, input.count, ratio: 64)
    while cursor.left > 0 {
      let tag = Int(try cursor.byte())
      switch tag & 3 {
      case 0:
        var length = tag >> 2
        if length >= 60 { length = Int(try cursor.littleEndian(length - 59)) }
        try output.append(input, try cursor.take(length + 1))
      case 1:
        let distance = (tag >> 5) << 8 | Int(try cursor.byte())
        try output.copy((tag >> 2 & 7) + 4, from: distance)
      case let kind:
        let distance = Int(try cursor.littleEndian(kind == 2 ? 2 : 4))
        try output.copy(tag >> 2 + 1, from: distance)
      }
    }
    return try output.finished()
  }
}

enum LZ4Block {
  /// Source: Collet, "LZ4 Block Format Description" (lz4_Block_format.md).
  static func decompress(_ input: [UInt8], byteCount: Int) throws(Damage) -> [UInt8] {
    var cursor = ByteCursor(input)
    var output = try BlockOutput(byteCount, input.count, ratio: 256)
    while cursor.left > 0 {
      let token = Int(try cursor.byte())
      try output.append(input, try cursor.take(try length(token >> 4, &cursor)))
      // The last sequence has no copy.
      if cursor.left == 0 { break }
      let distance = Int(try cursor.littleEndian(2))
      try output.copy(try length(token & 15, &cursor) + 4, from: distance)
    }
    return try output.finished()
  }

  private static func length(_ nibble: Int, _ cursor: inout ByteCursor) throws(Damage) -> Int {
    var length = nibble
    guard nibble == 15 else { return length }
    while true {
      let byte = Int(try cursor.byte())
      length += byte
      if byte < 255 { return length }
    }
  }
}
