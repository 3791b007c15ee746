// Small files that are read as a whole, and those that may be absent.
import QLoRADiagnostics
import QLoRAJSON

extension InputFile {
  /// nil where nothing is at the path; other failures are thrown.
  package static func openIfPresent(_ path: String) throws(Diagnostic) -> InputFile? {
    try ifPresent { () throws(Diagnostic) in try InputFile(path: path) }
  }

  /// nil where the folder has no such file.
  package static func openIfPresent(
    _ name: String, in folder: String
  ) throws(Diagnostic) -> InputFile? {
    try ifPresent { () throws(Diagnostic) in try InputFile(name, in: folder) }
  }

  private static func ifPresent(
    _ open: () throws(Diagnostic) -> InputFile
  ) throws(Diagnostic) -> InputFile? {
    do throws(Diagnostic) {
      return try open()
    } catch {
      if error.code == .fileMissing { return nil }
      throw error
    }
  }

  /// Refuses a Git LFS pointer that stands where `bytes` of text should.
  package func checkIsNoPointer(_ bytes: [UInt8]) throws(Diagnostic) {
    if bytes.starts(with: ForeignFile.pointerStart), let pointer = try ForeignFile.diagnose(self) {
      throw pointer
    }
  }
}

extension JSONValue {
  /// Reads a JSON file of at most `limit` bytes; offences carry `code` and their position.
  package static func read(
    _ file: InputFile, limit: Int, code: DiagnosticCode, options: JSONReadOptions = .strict
  ) throws(Diagnostic) -> JSONValue {
    guard file.byteCount <= limit else {
      throw Diagnostic(
        code, "\(file.byteCount) bytes of JSON, the limit is \(limit)", at: .file(file.path))
    }
    let bytes = try file.wholeBytes(limit: limit)
    try file.checkIsNoPointer(bytes)
    do throws(JSONError) {
      return try JSONValue(parsing: bytes, options: options)
    } catch {
      throw Diagnostic(
        code, "not valid JSON: \(error.message)",
        at: .position(
          file: file.path, line: error.position.line, column: error.position.column))
    }
  }
}
