// Reads the header of a GGUF file from front to back through a bounded window. It knows integers
// and strings, not what they mean.
import QLoRADiagnostics
import QLoRASystem

struct GGUFCursor {
  /// Longest string: chat templates and scores are far below.
  static let maximumStringBytes = 1 << 24
  /// Longest header: a vocabulary of a million tokens with its merges takes a quarter.
  static let maximumHeaderBytes = 1 << 28
  /// Strings of a whole header, and elements of its arrays but bytes and strings: each takes up to
  /// eight times its bytes in the file. Vocabularies with their merges stay below 800,000.
  private static let maximumStrings = 900_000
  private static let maximumElements = 1 << 21
  private static let windowBytes = 1 << 18

  let file: InputFile
  private(set) var offset = 0
  private var window: [UInt8] = []
  private var windowStart = 0
  private var stringCount = 0
  private var elementCount = 0

  init(_ file: InputFile) { self.file = file }

  /// Bytes between here and the end of the file.
  var remaining: Int { file.byteCount - offset }

  func failure(_ code: DiagnosticCode, _ message: String, at place: Int? = nil) -> Diagnostic {
    Diagnostic(
      code, message, at: .byteOffset(file: file.path, offset: place ?? offset),
      remedy: "the file may be cut off or damaged; download it again")
  }

  /// Makes the next `count` bytes present in the window and returns where they begin in it.
  private mutating func require(_ count: Int) throws(Diagnostic) -> Int {
    guard count <= remaining else {
      throw failure(
        .ggufTruncated, "expected \(count) more bytes, the file ends after \(remaining)")
    }
    guard offset + count <= Self.maximumHeaderBytes else {
      throw failure(
        .ggufLimit, "the header is longer than \(Self.maximumHeaderBytes) bytes")
    }
    if offset + count > windowStart + window.count {
      let length = min(remaining, max(count, Self.windowBytes))
      window = try file.bytes(offset..<(offset + length))
      windowStart = offset
    }
    return offset - windowStart
  }

  mutating func bytes(_ count: Int) throws(Diagnostic) -> ArraySlice<UInt8> {
    let start = try require(count)
    offset += count
    return window[start..<(start + count)]
  }

  /// A little-endian integer.
  mutating func integer<Value: FixedWidthInteger>(
    _: Value.Type = Value.self
  ) throws(Diagnostic) -> Value {
    let size = Value.bitWidth / 8
    let start = try require(size)
    var bits: UInt64 = 0
    for index in 0..<size { bits |= UInt64(window[start + index]) << UInt64(index * 8) }
    offset += size
    return Value(truncatingIfNeeded: bits)
  }

  /// A count of 64 bits as an `Int` of at most `limit`.
  mutating func count(
    limit: Int, _ code: DiagnosticCode, _ what: String
  ) throws(Diagnostic) -> Int {
    let place = offset
    let value = try integer(UInt64.self)
    guard value <= UInt64(max(0, limit)) else {
      throw failure(code, "\(value) \(what), at most \(max(0, limit)) are possible", at: place)
    }
    return Int(value)
  }

  /// A length of 64 bits and as many bytes of UTF-8.
  mutating func string() throws(Diagnostic) -> String {
    let place = offset
    stringCount += 1
    guard stringCount <= Self.maximumStrings else {
      throw failure(.ggufLimit, "more than \(Self.maximumStrings) strings")
    }
    let length = try integer(UInt64.self)
    guard length <= UInt64(Self.maximumStringBytes) else {
      throw failure(
        .ggufLimit, "a string of \(length) bytes, the limit is \(Self.maximumStringBytes)",
        at: place)
    }
    let content = try bytes(Int(length))
    guard let text = String(validating: content, as: UTF8.self) else {
      throw failure(.ggufText, "a string that is not UTF-8", at: place)
    }
    return text
  }

  /// Counts array elements before they are made.
  mutating func claim(elements: Int, at place: Int) throws(Diagnostic) {
    elementCount += elements
    guard elementCount <= Self.maximumElements else {
      throw failure(
        .ggufLimit, "more than \(Self.maximumElements) numbers in arrays", at: place)
    }
  }

  mutating func bool() throws(Diagnostic) -> Bool {
    let byte = try integer(UInt8.self)
    guard byte <= 1 else {
      throw failure(.ggufBool, "expected 0 or 1, found \(byte)", at: offset - 1)
    }
    return byte == 1
  }
}
