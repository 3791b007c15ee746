// Reads data files row by row: JSON lines, or one JSON array. It knows no row formats.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

/// One object of a data file and where it stands.
package struct DataRow: Sendable {
  package let file: String
  /// Counts the rows of the file from 1, blank lines left out.
  package let number: Int
  package let value: JSONValue

  package init(file: String, number: Int, value: JSONValue) {
    self.file = file
    self.number = number
    self.value = value
  }

  package func failure(
    _ code: DiagnosticCode, _ message: String, remedy: String? = nil
  ) -> Diagnostic {
    Diagnostic(code, message, at: .row(file: file, row: number), remedy: remedy)
  }
}

/// A data file's bytes, walked one row at a time.
package struct RowReader: Sendable {
  package let file: String
  private let bytes: [UInt8]

  /// Opens a file of JSON lines or with one JSON array.
  ///
  /// - Throws: `Diagnostic` E0401 where there is no such file, E0402 where it can't be read.
  package init(path: String) throws(Diagnostic) {
    let opened = try Self.open(path)
    guard opened.byteCount <= MachineMemory().availableBytes ?? .max else {
      throw Diagnostic(
        .dataFileUnreadable, "\(opened.byteCount) bytes are more than this machine has memory for",
        at: .file(path))
    }
    bytes = try opened.bytes(0..<opened.byteCount)
    try opened.checkIsNoPointer(bytes)
    file = path
  }

  private static func open(_ path: String) throws(Diagnostic) -> InputFile {
    do throws(Diagnostic) {
      return try InputFile(path: path)
    } catch {
      guard error.code == .fileMissing || error.code == .fileNotRegular else { throw error }
      throw Diagnostic(
        .dataFileMissing,
        error.code == .fileMissing
          ? "no such data file" : "data file expected, found \(InputFile.kind(at: path))",
        at: .file(path), remedy: "check the path in data.train or data.validation")
    }
  }

  package init(file: String, bytes: [UInt8]) {
    self.file = file
    self.bytes = bytes
  }

  /// Calls `body` with each row in the file's order.
  ///
  /// A byte order mark at the start, carriage returns at line ends and blank lines are skipped.
  ///
  /// - Throws: `Diagnostic` E0403 and E0404 with the row's number, and what `body` throws.
  package func forEachRow(_ body: (DataRow) throws -> Void) throws {
    let start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    let first = bytes[start...].first { !Self.isBlank($0) }
    if first == UInt8(ascii: "[") {
      try forEachElement(from: start, body)
    } else {
      try forEachLine(from: start, body)
    }
  }

  private func forEachLine(from start: Int, _ body: (DataRow) throws -> Void) throws {
    var lineStart = start
    var line = 0
    var number = 0
    while lineStart < bytes.count {
      let end = bytes[lineStart...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      line += 1
      let content = bytes[lineStart..<end]
      lineStart = end + 1
      if content.allSatisfy(Self.isBlank) { continue }
      number += 1
      try checkEncoding(content, row: number)
      let value = try parse(content, row: number, line: line)
      guard case .object = value else {
        throw Diagnostic(
          .rowSyntax, "row \(number) should be a JSON object, found \(value.kindName)",
          at: .position(file: file, line: line, column: 1))
      }
      try body(DataRow(file: file, number: number, value: value))
    }
  }

  private func forEachElement(from start: Int, _ body: (DataRow) throws -> Void) throws {
    try checkEncoding(bytes[start...], row: nil)
    let document = try parse(bytes[start...], row: nil, line: 1)
    guard case .array(let elements) = document else { return }
    for (index, element) in elements.enumerated() {
      guard case .object = element.value else {
        throw Diagnostic(
          .rowSyntax,
          "row \(index + 1) should be a JSON object, found \(element.value.kindName)",
          at: .position(
            file: file, line: element.position.line, column: element.position.column))
      }
      try body(DataRow(file: file, number: index + 1, value: element.value))
    }
  }

  private func parse(
    _ content: ArraySlice<UInt8>, row: Int?, line: Int
  ) throws(Diagnostic) -> JSONValue {
    do {
      return try JSONValue(parsing: content)
    } catch {
      let prefix = row.map { "row \($0): " } ?? ""
      throw Diagnostic(
        .rowSyntax, prefix + error.message,
        at: .position(
          file: file, line: line + error.position.line - 1, column: error.position.column),
        remedy: "each row is one JSON object on a line of its own")
    }
  }

  private func checkEncoding(_ content: ArraySlice<UInt8>, row: Int?) throws(Diagnostic) {
    if String(validating: content, as: UTF8.self) != nil { return }
    let offset = Self.firstInvalidByte(content)
    let place = row.map { "row \($0)" } ?? "the file"
    let byte = String(bytes[offset], radix: 16, uppercase: true)
    throw Diagnostic(
      .rowEncoding, "\(place) is not UTF-8: byte 0x\(byte)",
      at: .byteOffset(file: file, offset: offset), remedy: "convert the file to UTF-8")
  }

  /// The offset of the first byte at which the text stops being UTF-8.
  private static func firstInvalidByte(_ content: ArraySlice<UInt8>) -> Int {
    var decoder = UTF8()
    var iterator = content.makeIterator()
    var offset = content.startIndex
    while case .scalarValue(let scalar) = decoder.decode(&iterator) {
      offset += UTF8.width(scalar)
    }
    return min(offset, content.endIndex - 1)
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A
  }
}
