// JSON lines and JSON arrays, one row at a time.
import QLoRADiagnostics
import QLoRAJSON

/// Calls `body` with number and value of each row until it says false.
typealias RowVisitor = (Int, JSONValue) throws -> Bool

struct JSONLines {
  var text: TextBuffer

  mutating func forEach(_ body: RowVisitor) throws {
    var line = 0
    var number = 0
    while try text.peek(0) != nil {
      let end = try text.distance(from: 0) { $0 == TextBytes.newline }
      let length = end ?? text.unread
      line += 1
      let content = text.prefix(length)
      let offset = text.offset
      text.skip(end == nil ? length : length + 1)
      if content.allSatisfy(TextBytes.isBlank) { continue }
      number += 1
      try TextBytes.checkEncoding(content, row: number, file: text.file, offset: offset)
      let value = try JSONRow.parse(content, number, text.file, line: line, column: 1)
      if try !body(number, value) { return }
    }
  }
}

/// The elements of one array, told apart by counting brackets; each is then parsed by itself.
struct JSONArrayRows {
  private var text: TextBuffer
  private var line = 1
  private var column = 1

  /// - Parameter text: begins at the opening bracket, or at white space before it.
  init(_ text: TextBuffer) { self.text = text }

  mutating func forEach(_ body: RowVisitor) throws {
    try skipBlanks()
    advance(1)
    var number = 0
    while true {
      try skipBlanks()
      let length = try elementLength()
      let closing = try text.peek(length)
      if length == 0, closing == UInt8(ascii: "]"), number == 0 { break }
      number += 1
      let content = text.prefix(length)
      try TextBytes.checkEncoding(content, row: number, file: text.file, offset: text.offset)
      let value = try JSONRow.parse(content, number, text.file, line: line, column: column)
      guard closing != nil else {
        throw failure("the array is not closed after row \(number)")
      }
      advance(length)
      if try !body(number, value) { return }
      if closing == UInt8(ascii: "]") { break }
      advance(1)
    }
    advance(1)
    try skipBlanks()
    if try text.peek(0) != nil { throw failure("there is text after the array") }
  }

  /// The bytes before the comma or bracket that ends the element; all that are left without one.
  private mutating func elementLength() throws(Diagnostic) -> Int {
    var place = 0
    var depth = 0
    var isInString = false
    while let found = try text.distance(
      from: place, to: isInString ? Self.endsString : Self.isStructural)
    {
      let byte = try text.peek(found) ?? 0
      place = found + 1
      if isInString {
        if byte == UInt8(ascii: "\\") { place += 1 } else { isInString = false }
        continue
      }
      switch byte {
      case TextBytes.quote: isInString = true
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: ","), UInt8(ascii: "]"):
        if depth == 0 { return found }
        if byte != UInt8(ascii: ",") { depth -= 1 }
      case UInt8(ascii: "}"): depth = max(0, depth - 1)
      default: break
      }
    }
    return text.unread
  }

  private static func endsString(_ byte: UInt8) -> Bool {
    byte == TextBytes.quote || byte == UInt8(ascii: "\\")
  }

  private static func isStructural(_ byte: UInt8) -> Bool {
    switch byte {
    case TextBytes.quote, UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "["),
      UInt8(ascii: "]"), UInt8(ascii: ","):
      true
    default: false
    }
  }

  private mutating func skipBlanks() throws(Diagnostic) {
    while let byte = try text.peek(0), TextBytes.isBlank(byte) { advance(1) }
  }

  private mutating func advance(_ count: Int) {
    for byte in text.prefix(min(count, text.unread)) {
      column = byte == TextBytes.newline ? 1 : column + 1
      if byte == TextBytes.newline { line += 1 }
    }
    text.skip(min(count, text.unread))
  }

  private func failure(_ message: String) -> Diagnostic {
    Diagnostic(
      .rowSyntax, message, at: .position(file: text.file, line: line, column: column),
      remedy: "a data file is one JSON object on each line, or one array of objects")
  }
}

enum JSONRow {
  /// Of one row, as in a table: a value takes many times the bytes that spell it.
  private static let options = JSONReadOptions(maximumValues: ParquetRows.mostEntries)

  /// - Parameters:
  ///   - line, column: of the first byte of `content`.
  /// - Throws: `Diagnostic` E0403 where the text is no JSON object.
  static func parse(
    _ content: ArraySlice<UInt8>, _ number: Int, _ file: String, line: Int, column: Int
  ) throws(Diagnostic) -> JSONValue {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: content, options: options)
    } catch {
      let before = error.position.line == 1 ? column - 1 : 0
      throw Diagnostic(
        .rowSyntax, "row \(number): \(error.message)",
        at: .position(
          file: file, line: line + error.position.line - 1, column: error.position.column + before),
        remedy: "each row is one JSON object on a line of its own")
    }
    guard case .object = value else {
      throw Diagnostic(
        .rowSyntax, "row \(number) should be a JSON object, found \(value.kindName)",
        at: .position(file: file, line: line, column: column))
    }
    return value
  }
}
