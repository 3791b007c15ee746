// Comma-separated values: a header that names the columns, then a row for each record, all values
// strings.
import QLoRADiagnostics
import QLoRAJSON

/// Quoted fields may hold commas, line ends and doubled quotes. Line ends are LF, CRLF or CR;
/// blank lines are skipped. Fields are taken as they stand: no white space is trimmed.
///
/// Source: Shafranovich 2005, RFC 4180, "Common format and MIME type for CSV files".
struct CSVRows {
  /// Of one record; a file of many more is no table.
  private static let mostFields = 1 << 16

  private var text: TextBuffer
  /// A comma, or a tab in files that say so by their name.
  private let separator: UInt8
  private var line = 1
  /// Of the record that was read last.
  private var recordLine = 1

  init(_ text: TextBuffer, separator: UInt8 = UInt8(ascii: ",")) {
    self.text = text
    self.separator = separator
  }

  mutating func forEach(_ body: RowVisitor) throws {
    guard let names = try record(row: 0) else { return }
    var seen: Set<String> = []
    for name in names where !seen.insert(name).inserted {
      throw failure("the header names the column \"\(name)\" twice", line: 1)
    }
    var number = 1
    while true {
      guard let fields = try record(row: number) else { return }
      guard fields.count == names.count else {
        throw failure(
          "row \(number) has \(fields.count) fields, but the header names \(names.count) columns",
          line: recordLine)
      }
      let pairs = zip(names, fields).map { ($0, JSONValue.string($1)) }
      if try !body(number, .dictionary(pairs)) { return }
      number += 1
    }
  }

  /// The fields of the next record that is not blank; nil at the end.
  private mutating func record(row: Int) throws(Diagnostic) -> [String]? {
    var fields: [String] = []
    while let first = try text.peek(0) {
      if fields.isEmpty, Self.isLineEnd(first) {
        skipLineEnd()
        continue
      }
      guard fields.count < Self.mostFields else {
        throw Diagnostic(
          .rowTooLarge, "row \(row) has more than \(Self.mostFields) fields",
          at: .position(file: text.file, line: line, column: 1))
      }
      if fields.isEmpty { recordLine = line }
      let isQuoted = first == TextBytes.quote
      fields.append(isQuoted ? try quotedField(row) : try plainField(row))
      guard let next = try text.peek(0) else { return fields }
      if Self.isLineEnd(next) {
        skipLineEnd()
        return fields
      }
      guard next == separator else {
        throw failure("row \(row): a field goes on after its closing quote", line: line)
      }
      text.skip(1)
      // A separator at the end of the file or line has an empty field behind it.
      if let after = try text.peek(0), !Self.isLineEnd(after) { continue }
      fields.append("")
      skipLineEnd()
      return fields
    }
    return fields.isEmpty ? nil : fields
  }

  private mutating func plainField(_ row: Int) throws(Diagnostic) -> String {
    let separator = separator
    let end = try text.distance(from: 0) { $0 == separator || Self.isLineEnd($0) }
    return try take(end ?? text.unread, row)
  }

  private mutating func quotedField(_ row: Int) throws(Diagnostic) -> String {
    let start = line
    text.skip(1)
    var place = 0
    while let quote = try text.distance(from: place, to: { $0 == TextBytes.quote }) {
      guard try text.peek(quote + 1) == TextBytes.quote else {
        let field = try take(quote, row)
        text.skip(1)
        line += field.utf8.count { $0 == TextBytes.newline }
        guard field.utf8.contains(TextBytes.quote) else { return field }
        return Self.undoubled(field)
      }
      place = quote + 2
    }
    throw failure("row \(row): a quoted field is not closed", line: start)
  }

  private static func undoubled(_ field: String) -> String {
    var bytes: [UInt8] = []
    var isSecond = false
    for byte in field.utf8 {
      isSecond = byte == TextBytes.quote && !isSecond
      // The first of two quotes is left out: between them nothing else can stand.
      if !isSecond { bytes.append(byte) }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private mutating func take(_ count: Int, _ row: Int) throws(Diagnostic) -> String {
    let content = text.prefix(count)
    try TextBytes.checkEncoding(content, row: row, file: text.file, offset: text.offset)
    text.skip(count)
    return String(decoding: content, as: UTF8.self)
  }

  private static func isLineEnd(_ byte: UInt8) -> Bool {
    byte == TextBytes.newline || byte == TextBytes.carriageReturn
  }

  private mutating func skipLineEnd() {
    guard text.unread > 0, let first = text.prefix(1).first else { return }
    text.skip(1)
    line += 1
    // A line feed after a carriage return that ends a piece is taken for a blank line: the same.
    if first == TextBytes.carriageReturn, text.unread > 0,
      text.prefix(1).first == TextBytes.newline
    {
      text.skip(1)
    }
  }

  private func failure(_ message: String, line: Int) -> Diagnostic {
    Diagnostic(
      .rowSyntax, message, at: .position(file: text.file, line: line, column: 1),
      remedy: "fields with commas, quotes or line ends stand in quotes, and quotes in them are "
        + "doubled")
  }
}
