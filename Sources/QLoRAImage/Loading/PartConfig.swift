// Reads the members of a part's config.json, with a message for each that is not as it must be.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON

struct PartConfig {
  private let json: JSONValue
  private let path: String

  init(_ folder: PartFolder) {
    self.init(folder.json, path: folder.configPath)
  }

  init(_ json: JSONValue, path: String) {
    self.json = json
    self.path = path
  }

  /// - Throws: `imageConfigInvalid`.
  func count(_ key: String, _ range: ClosedRange<Int> = 1...1_000_000) throws(Diagnostic) -> Int {
    guard let value = json[key]?.intValue, range ~= value else {
      throw failure(key, "an integer of \(range.lowerBound) or more")
    }
    return value
  }

  /// The same with a value where the member is absent or null.
  func count(_ key: String, default usual: Int) throws(Diagnostic) -> Int {
    isAbsent(key) ? usual : try count(key)
  }

  func counts(_ key: String, default usual: [Int]) throws(Diagnostic) -> [Int] {
    if isAbsent(key) { return usual }
    let values = json[key]?.arrayValue
    let counts = values?.compactMap(\.intValue).filter { $0 >= 0 && $0 < 1_000_000 }
    guard let counts, counts.count == values?.count else {
      throw failure(key, "a list of integers")
    }
    return counts
  }

  func number(_ key: String, default usual: Double) throws(Diagnostic) -> Double {
    if isAbsent(key) { return usual }
    guard let value = json[key]?.doubleValue, value.isFinite else { throw failure(key, "a number") }
    return value
  }

  func flag(_ key: String, default usual: Bool) throws(Diagnostic) -> Bool {
    if isAbsent(key) { return usual }
    guard let value = json[key]?.boolValue else { throw failure(key, "true or false") }
    return value
  }

  /// One of `words`; nil where the member is absent or null.
  func word(_ key: String, of words: [String]) throws(Diagnostic) -> String? {
    if isAbsent(key) { return nil }
    guard let word = json[key]?.stringValue, words.contains(word) else {
      throw failure(key, words.map { "\"\($0)\"" }.joined(separator: " or "))
    }
    return word
  }

  func failure(_ key: String, _ expected: String) -> Diagnostic {
    let member = json.objectMembers?.first { $0.key == key }
    let message = "\"\(key)\" must be \(expected), found \(member?.value.kindName ?? "nothing")"
    guard let place = member?.position else {
      return Diagnostic(.imageConfigInvalid, message, at: .file(path))
    }
    return Diagnostic(
      .imageConfigInvalid, message,
      at: .position(file: path, line: place.line, column: place.column))
  }

  private func isAbsent(_ key: String) -> Bool { json[key]?.isNull ?? true }
}
