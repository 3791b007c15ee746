// A JSON text read piece by piece, for files whose bulk goes into tables of the reader's own, such
// as vocabularies: a tree of values would take ten times their memory and time.

/// Walks a JSON text from left to right. The caller asks for what it expects to come next.
///
/// Every method throws `JSONError` with the place of what is wrong.
package struct JSONPullReader {
  private var parser: JSONParser

  /// - Parameter options: `rejectsDuplicateKeys` holds for values that are read whole.
  package init(bytes: [UInt8], options: JSONReadOptions = .strict) throws(JSONError) {
    parser = JSONParser(bytes: bytes, options: options)
    try parser.begin()
  }

  package var position: JSONPosition { parser.position }
  /// The whole text.
  package var bytes: [UInt8] { parser.bytes }

  /// Whether the next value is an object or array, by its bracket.
  package var isAtObject: Bool { parser.current == UInt8(ascii: "{") }
  package var isAtArray: Bool { parser.current == UInt8(ascii: "[") }
  package var isAtString: Bool { parser.current == UInt8(ascii: "\"") }

  package mutating func enterObject() throws(JSONError) {
    guard isAtObject else { throw parser.failure("expected an object") }
    try enter()
  }

  package mutating func enterArray() throws(JSONError) {
    guard isAtArray else { throw parser.failure("expected an array") }
    try enter()
  }

  private mutating func enter() throws(JSONError) {
    try parser.enter()
    try parser.skipBlank()
    if parser.current == UInt8(ascii: ",") { throw parser.failure("expected a value") }
  }

  /// Moves to the next member's value and gives its key; nil after the closing bracket.
  package mutating func nextKey() throws(JSONError) -> String? {
    var key: [UInt8] = []
    guard try nextKey(into: &key) else { return nil }
    guard let text = String(validating: key, as: UTF8.self) else {
      throw parser.failure("a key that is not UTF-8", .encoding)
    }
    return text
  }

  /// As `nextKey()`, the key's bytes appended to `bytes`. They may not be UTF-8.
  package mutating func nextKey(into bytes: inout [UInt8]) throws(JSONError) -> Bool {
    if try closes(UInt8(ascii: "}")) { return false }
    guard isAtString else { throw parser.failure("expected a key in quotes") }
    try parser.appendString(to: &bytes)
    try parser.skipBlank()
    guard parser.current == UInt8(ascii: ":") else {
      throw parser.failure("expected ':' after a key")
    }
    parser.index += 1
    try parser.skipBlank()
    return true
  }

  /// Moves to the next element of an array; false after the closing bracket.
  package mutating func nextElement() throws(JSONError) -> Bool {
    try !closes(UInt8(ascii: "]"))
  }

  /// Passes the comma after the value before, or the bracket that ends all.
  private mutating func closes(_ bracket: UInt8) throws(JSONError) -> Bool {
    if parser.current == UInt8(ascii: ",") {
      try parser.parseSeparator(closing: bracket)
    }
    guard parser.current == bracket else { return false }
    parser.index += 1
    parser.depth -= 1
    try parser.skipBlank()
    return true
  }

  /// Ends a value: what follows must be a comma or a bracket.
  private mutating func endValue() throws(JSONError) {
    try parser.skipBlank()
    switch parser.current {
    case UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"), nil: return
    default: throw parser.failure("expected ',' or a closing bracket")
    }
  }

  /// Appends the bytes of a string, escapes resolved. They may not be UTF-8.
  package mutating func string(into bytes: inout [UInt8]) throws(JSONError) {
    guard isAtString else { throw parser.failure("expected a string") }
    try parser.appendString(to: &bytes)
    try endValue()
  }

  /// A whole number that is not negative; nil for any other value, which is passed over.
  package mutating func naturalNumber() throws(JSONError) -> Int? {
    if let number = parser.shortNaturalNumber() {
      try endValue()
      return number
    }
    return try value().intValue.flatMap { $0 < 0 ? nil : $0 }
  }

  /// The value that comes next, whole.
  package mutating func value() throws(JSONError) -> JSONValue {
    let value = try parser.parseValue()
    try endValue()
    return value
  }

  /// Passes over the value that comes next, checking only that its brackets close.
  package mutating func skip() throws(JSONError) {
    try parser.skipValue()
    try endValue()
  }

  /// A place to come back to.
  package typealias Bookmark = (index: Int, depth: Int, line: Int, lineStart: Int)

  package var bookmark: Bookmark {
    get { (parser.index, parser.depth, parser.line, parser.lineStart) }
    set { (parser.index, parser.depth, parser.line, parser.lineStart) = newValue }
  }

  /// Ends the text: only blanks may follow.
  package mutating func end() throws(JSONError) { try parser.end() }
}
