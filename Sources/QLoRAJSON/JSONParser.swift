// A strict JSON reader (RFC 8259) over UTF-8 bytes: duplicate keys, bad UTF-8, lone surrogates and
// trailing text are errors with their position. Comments and trailing commas only on request.

/// What a reader accepts beyond RFC 8259, and its limits against hostile files.
public struct JSONReadOptions: Sendable {
  /// Accept `//` and `/* */` comments and a comma before a closing bracket.
  public var allowsComments: Bool
  public var maximumDepth: Int
  /// Off for files in which a repeated key is somebody else's habit (never for our own).
  public var rejectsDuplicateKeys: Bool
  /// Values, keys included, and bytes of text that are kept: a value takes many times the memory
  /// of the two bytes that spell it.
  public var maximumValues: Int
  public var maximumTextBytes: Int

  public init(
    allowsComments: Bool = false, maximumDepth: Int = 64, rejectsDuplicateKeys: Bool = true,
    maximumValues: Int = .max, maximumTextBytes: Int = .max
  ) {
    self.allowsComments = allowsComments
    self.maximumDepth = maximumDepth
    self.rejectsDuplicateKeys = rejectsDuplicateKeys
    self.maximumValues = maximumValues
    self.maximumTextBytes = maximumTextBytes
  }

  public static let strict = JSONReadOptions()
}

/// Why a text is not JSON, and where.
public struct JSONError: Error, Sendable, Equatable {
  public enum Kind: Sendable, Equatable { case syntax, duplicateKey, encoding, depth, size }

  public let kind: Kind
  public let message: String
  public let position: JSONPosition
}

extension JSONValue {
  /// Parses one JSON text.
  ///
  /// - Throws: `JSONError` with line and column of the first offence.
  public init(
    parsing bytes: some Sequence<UInt8>, options: JSONReadOptions = .strict
  ) throws(JSONError) {
    var parser = JSONParser(bytes: (bytes as? [UInt8]) ?? Array(bytes), options: options)
    self = try parser.parseDocument()
  }

  /// Parses a text that is one object, whose members are handed over one at a time, so that only
  /// one of them is in memory; the limits on sizes are those of each.
  ///
  /// - Throws: `JSONError`, also where the text is no object, and what `body` throws.
  public static func forEachMember(
    of bytes: [UInt8], options: JSONReadOptions = .strict, _ body: (JSONMember) throws -> Void
  ) throws {
    var parser = JSONParser(bytes: bytes, options: options)
    try parser.parseMembers(body)
  }

  public init(
    parsing text: String, options: JSONReadOptions = .strict
  ) throws(JSONError) {
    try self.init(parsing: text.utf8, options: options)
  }
}

/// A key that equals another only where all its scalars do.
private struct ExactKey: Hashable {
  let text: String

  static func == (left: Self, right: Self) -> Bool { JSONValue.isSame(left.text, right.text) }

  func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

struct JSONParser {
  let bytes: [UInt8]
  let options: JSONReadOptions
  var index = 0
  var depth = 0
  var values = 0
  var textBytes = 0
  // Lines are counted as the reader passes them, so that positions cost nothing.
  var line = 1
  var lineStart = 0

  init(bytes: [UInt8], options: JSONReadOptions) {
    self.bytes = bytes
    self.options = options
  }

  var position: JSONPosition {
    JSONPosition(line: line, column: index - lineStart + 1, offset: index)
  }

  var current: UInt8? { index < bytes.count ? bytes[index] : nil }

  func failure(
    _ message: String, _ kind: JSONError.Kind = .syntax, at place: JSONPosition? = nil
  ) -> JSONError {
    JSONError(kind: kind, message: message, position: place ?? position)
  }

  mutating func parseDocument() throws(JSONError) -> JSONValue {
    try begin()
    let value = try parseValue()
    try end()
    return value
  }

  /// Hands over the members of the outermost object; each has the limits of sizes for itself.
  mutating func parseMembers(_ body: (JSONMember) throws -> Void) throws {
    try begin()
    guard current == UInt8(ascii: "{") else { throw failure("expected an object") }
    try enter()
    var keys: Set<ExactKey> = []
    try skipBlank()
    while let member = try nextMember(&keys) {
      try body(member)
      (values, textBytes) = (0, 0)
    }
    try end()
  }

  mutating func begin() throws(JSONError) {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
      index = 3
      lineStart = 3
    }
    try skipBlank()
  }

  mutating func end() throws(JSONError) {
    try skipBlank()
    if index < bytes.count { throw failure("text after the end of the JSON value") }
  }

  /// Counts a value against the limit before it is made.
  private mutating func count() throws(JSONError) {
    values += 1
    if values > options.maximumValues {
      throw failure("more than \(options.maximumValues) values", .size)
    }
  }

  /// Counts text against the limit before it is kept.
  mutating func keep(_ byteCount: Int, at place: JSONPosition) throws(JSONError) {
    textBytes += byteCount
    if textBytes > options.maximumTextBytes {
      throw failure("more than \(options.maximumTextBytes) bytes of text", .size, at: place)
    }
  }

  mutating func parseValue() throws(JSONError) -> JSONValue {
    try count()
    guard let byte = current else { throw failure("the text ends where a value should begin") }
    switch byte {
    case UInt8(ascii: "{"): return try parseObject()
    case UInt8(ascii: "["): return try parseArray()
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "t"): return try parseWord("true", .bool(true))
    case UInt8(ascii: "f"): return try parseWord("false", .bool(false))
    case UInt8(ascii: "n"): return try parseWord("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
    default: throw failure("expected a value, found \(describe(byte))")
    }
  }

  private mutating func parseWord(
    _ word: StaticString, _ value: JSONValue
  ) throws(JSONError) -> JSONValue {
    let start = position
    for expected in "\(word)".utf8 {
      guard current == expected else { throw failure("expected \(word)", at: start) }
      index += 1
    }
    return value
  }

  mutating func enter() throws(JSONError) {
    depth += 1
    if depth > options.maximumDepth {
      throw failure("nested deeper than \(options.maximumDepth) levels", .depth)
    }
    index += 1
  }

  private mutating func parseObject() throws(JSONError) -> JSONValue {
    try enter()
    defer { depth -= 1 }
    var members: [JSONMember] = []
    var keys: Set<ExactKey> = []
    try skipBlank()
    while let member = try nextMember(&keys) { members.append(member) }
    return .object(members)
  }

  /// The next member of the object that was entered, or nil after its closing bracket.
  private mutating func nextMember(
    _ keys: inout Set<ExactKey>
  ) throws(JSONError) -> JSONMember? {
    if current == UInt8(ascii: "}") {
      index += 1
      return nil
    }
    guard current == UInt8(ascii: "\"") else { throw failure("expected a key in quotes") }
    try count()
    let place = position
    let key = try parseString()
    if options.rejectsDuplicateKeys, !keys.insert(ExactKey(text: key)).inserted {
      throw failure("the key \"\(key)\" appears twice", .duplicateKey, at: place)
    }
    try skipBlank()
    guard current == UInt8(ascii: ":") else { throw failure("expected ':' after a key") }
    index += 1
    try skipBlank()
    let member = JSONMember(key, try parseValue(), at: place)
    try parseSeparator(closing: UInt8(ascii: "}"))
    return member
  }

  private mutating func parseArray() throws(JSONError) -> JSONValue {
    try enter()
    defer { depth -= 1 }
    var elements: [JSONElement] = []
    try skipBlank()
    while current != UInt8(ascii: "]") {
      let place = position
      elements.append(JSONElement(try parseValue(), at: place))
      try parseSeparator(closing: UInt8(ascii: "]"))
    }
    index += 1
    return .array(elements)
  }

  /// Consumes the comma between members; leaves the closing bracket for the caller.
  mutating func parseSeparator(closing: UInt8) throws(JSONError) {
    try skipBlank()
    guard let byte = current else { throw failure("the text ends inside a value") }
    if byte == closing { return }
    guard byte == UInt8(ascii: ",") else {
      throw failure("expected ',' or '\(Character(UnicodeScalar(closing)))'")
    }
    let comma = position
    index += 1
    try skipBlank()
    if current == closing, !options.allowsComments {
      throw failure("a comma before the closing bracket", at: comma)
    }
  }

  private mutating func parseNumber() throws(JSONError) -> JSONValue {
    let start = index
    let place = position
    if current == UInt8(ascii: "-") { index += 1 }
    if current == UInt8(ascii: "0") { index += 1 } else { try skipDigits(place) }
    if current == UInt8(ascii: ".") {
      index += 1
      try skipDigits(place)
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      index += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { index += 1 }
      try skipDigits(place)
    }
    if let byte = current, isWordByte(byte) { throw failure("a malformed number", at: place) }
    try keep(index - start, at: place)
    return .number(JSONNumber(text: String(decoding: bytes[start..<index], as: UTF8.self)))
  }

  private mutating func skipDigits(_ place: JSONPosition) throws(JSONError) {
    let start = index
    while let byte = current, isDigit(byte) { index += 1 }
    if index == start { throw failure("a malformed number", at: place) }
  }

  mutating func skipBlank() throws(JSONError) {
    skipSpaces()
    while let byte = current {
      switch byte {
      case 0x0A:
        index += 1
        line += 1
        lineStart = index
        skipSpaces()
      case 0x20, 0x09, 0x0D: index += 1
      case UInt8(ascii: "/") where options.allowsComments: try skipComment()
      default: return
      }
    }
  }

  /// Indentation is a third of a pretty file.
  private mutating func skipSpaces() {
    guard current == 0x20 else { return }
    index = bytes.withUnsafeBytes { [index] bytes in
      var place = index
      while place + 8 <= bytes.count,
        bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self) == 0x2020_2020_2020_2020
      {
        place += 8
      }
      while place < bytes.count, bytes[place] == 0x20 { place += 1 }
      return place
    }
  }

  private mutating func skipComment() throws(JSONError) {
    let start = position
    let second = index + 1 < bytes.count ? bytes[index + 1] : 0
    if second == UInt8(ascii: "/") {
      while let byte = current, byte != 0x0A { index += 1 }
      return
    }
    guard second == UInt8(ascii: "*") else { throw failure("expected a comment") }
    index += 2
    while index + 1 < bytes.count {
      if bytes[index] == UInt8(ascii: "*"), bytes[index + 1] == UInt8(ascii: "/") {
        index += 2
        return
      }
      if bytes[index] == 0x0A {
        line += 1
        lineStart = index + 1
      }
      index += 1
    }
    throw failure("a comment without an end", at: start)
  }

  private func describe(_ byte: UInt8) -> String {
    byte > 0x20 && byte < 0x7F
      ? "'\(Character(UnicodeScalar(byte)))'" : "byte \(String(byte, radix: 16))"
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

  private func isWordByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || byte == UInt8(ascii: ".") || (byte | 0x20) &- UInt8(ascii: "a") < 26
  }
}
