// The unread part of a text that comes in pieces: a window that grows until a line, an element or a
// record is complete, and no further than a limit.
import QLoRADiagnostics

struct TextBuffer {
  /// Of one row. A longer one is no row that anybody trains on, but what a decompression bomb or a
  /// binary file looks like.
  static let longestRow = 256 << 20

  let file: String
  private let stream: any ByteStream
  private var bytes: [UInt8] = []
  private var start = 0
  private var hasEnded = false
  /// Of the first unread byte in the text, which for a compressed file is the text inside.
  private(set) var offset = 0

  init(_ stream: any ByteStream, file: String) {
    self.stream = stream
    self.file = file
  }

  /// The byte `ahead` places after the first unread one; nil past the end of the text.
  mutating func peek(_ ahead: Int) throws(Diagnostic) -> UInt8? {
    while start + ahead >= bytes.count {
      guard try fill() else { return nil }
    }
    return bytes[start + ahead]
  }

  /// The first `count` unread bytes, which `peek` has seen.
  func prefix(_ count: Int) -> ArraySlice<UInt8> { bytes[start..<start + count] }

  mutating func skip(_ count: Int) {
    start += count
    offset += count
  }

  /// How far the next byte for which `isWanted` holds is ahead of `place`; nil where none comes.
  mutating func distance(
    from place: Int, to isWanted: (UInt8) -> Bool
  ) throws(Diagnostic) -> Int? {
    var place = place
    while true {
      let found = bytes.withUnsafeBufferPointer { bytes in
        bytes[min(start + place, bytes.count)...].firstIndex(where: isWanted)
      }
      if let found { return found - start }
      place = max(place, bytes.count - start)
      guard try fill() else { return nil }
    }
  }

  /// How many bytes are left; to be asked after `distance` found nothing.
  var unread: Int { bytes.count - start }

  /// - Returns: whether there was more.
  private mutating func fill() throws(Diagnostic) -> Bool {
    if hasEnded { return false }
    let piece = try stream.next()
    guard !piece.isEmpty else {
      hasEnded = true
      return false
    }
    guard bytes.count - start + piece.count <= Self.longestRow else {
      throw Diagnostic(
        .rowTooLarge, "a row is longer than \(Self.longestRow >> 20) MiB",
        at: .byteOffset(file: file, offset: offset))
    }
    // Without anything read before it, a long row grows in place.
    if start > 0 { bytes.removeFirst(start) }
    start = 0
    bytes += piece
    return true
  }
}

enum TextBytes {
  static let newline = UInt8(ascii: "\n")
  static let carriageReturn = UInt8(ascii: "\r")
  static let quote = UInt8(ascii: "\"")

  /// Space, tab and line ends: what JSON calls white space.
  static func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A
  }

  /// - Parameter offset: of `content` in the text.
  /// - Throws: `Diagnostic` E0404 with the offset of the first byte that is no UTF-8.
  static func checkEncoding(
    _ content: ArraySlice<UInt8>, row: Int, file: String, offset: Int
  ) throws(Diagnostic) {
    if String(validating: content, as: UTF8.self) != nil { return }
    let bad = firstInvalidByte(content)
    let byte = String(content[bad], radix: 16, uppercase: true)
    throw Diagnostic(
      .rowEncoding, "row \(row) is not UTF-8: byte 0x\(byte)",
      at: .byteOffset(file: file, offset: offset + bad - content.startIndex),
      remedy: "convert the file to UTF-8")
  }

  /// The index of the first byte at which the text stops being UTF-8.
  private static func firstInvalidByte(_ content: ArraySlice<UInt8>) -> Int {
    var decoder = UTF8()
    var iterator = content.makeIterator()
    var index = content.startIndex
    while case .scalarValue(let scalar) = decoder.decode(&iterator) {
      index += UTF8.width(scalar)
    }
    return min(index, content.endIndex - 1)
  }
}
