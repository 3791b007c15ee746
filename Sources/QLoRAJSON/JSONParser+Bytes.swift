// What reading piece by piece needs of the parser: strings as bytes, short numbers, skipping.

extension JSONParser {
  /// Appends the content of the string that begins here; the current byte is its opening quote.
  mutating func appendString(to content: inout [UInt8]) throws(JSONError) {
    let opening = position
    index += 1
    while true {
      let start = index
      index = bytes.withUnsafeBufferPointer { bytes in
        var index = start
        while index < bytes.count {
          let byte = bytes[index]
          if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
          index += 1
        }
        return index
      }
      try keep(index - start, at: opening)
      content.append(contentsOf: bytes[start..<index])
      guard let byte = current else { throw failure("a string without its closing quote", at: opening) }
      if byte < 0x20 { throw failure("a control character inside a string; escape it") }
      index += 1
      if byte == UInt8(ascii: "\"") { return }
      try parseEscape(into: &content)
    }
  }

  /// A whole number of at most nine digits without sign, fraction or exponent; nil, with nothing
  /// read, where something else stands.
  mutating func shortNaturalNumber() -> Int? {
    var end = index
    var number = 0
    while end < bytes.count, end - index < 10, bytes[end] &- UInt8(ascii: "0") < 10 {
      number = number * 10 + Int(bytes[end] - UInt8(ascii: "0"))
      end += 1
    }
    let count = end - index
    guard count > 0, count < 10, count == 1 || bytes[index] != UInt8(ascii: "0") else { return nil }
    if end < bytes.count {
      switch bytes[end] {
      case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x0A, 0x0D, 0x09: break
      default: return nil
      }
    }
    index = end
    return number
  }

  /// Passes over one value. Its brackets and quotes are matched; what stands between is not
  /// looked at.
  mutating func skipValue() throws(JSONError) {
    let start = depth
    var ignored: [UInt8] = []
    repeat {
      guard let byte = current else { throw failure("the text ends inside a value") }
      switch byte {
      case UInt8(ascii: "{"), UInt8(ascii: "["): try enter()
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        guard depth > start else { throw failure("expected a value") }
        depth -= 1
        index += 1
      case UInt8(ascii: "\""):
        ignored.removeAll(keepingCapacity: true)
        try appendString(to: &ignored)
      case UInt8(ascii: ","), UInt8(ascii: ":"):
        guard depth > start else { throw failure("expected a value") }
        index += 1
      default: _ = try parseValue()
      }
      try skipBlank()
    } while depth > start
  }
}
