// String literals: escapes, surrogate pairs and UTF-8 validation.

extension JSONParser {
  /// Reads a string literal; the current byte is its opening quote.
  mutating func parseString() throws(JSONError) -> String {
    let opening = position
    index += 1
    let start = index
    while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      index += 1
    }
    if current == UInt8(ascii: "\"") {
      try keep(index - start, at: opening)
      let text = try decode(bytes[start..<index], at: opening)
      index += 1
      return text
    }
    try keep(index - start, at: opening)
    return try parseEscapedString(from: start, opening: opening)
  }

  private mutating func parseEscapedString(
    from start: Int, opening: JSONPosition
  ) throws(JSONError) -> String {
    var content = Array(bytes[start..<index])
    while let byte = current {
      if byte == UInt8(ascii: "\"") {
        let text = try decode(content[...], at: opening)
        index += 1
        return text
      }
      if byte < 0x20 { throw failure("a control character inside a string; escape it") }
      if byte == UInt8(ascii: "\\") {
        index += 1
        let count = content.count
        try parseEscape(into: &content)
        try keep(content.count - count, at: opening)
      } else {
        try keep(1, at: opening)
        content.append(byte)
        index += 1
      }
    }
    throw failure("a string without its closing quote", at: opening)
  }

  mutating func parseEscape(into content: inout [UInt8]) throws(JSONError) {
    guard let byte = current else { throw failure("the text ends inside an escape") }
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0C)
    case UInt8(ascii: "n"): content.append(0x0A)
    case UInt8(ascii: "r"): content.append(0x0D)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"): content.append(contentsOf: try parseUnicodeEscape())
    default: throw failure("an unknown escape in a string")
    }
  }

  private mutating func parseUnicodeEscape() throws(JSONError) -> [UInt8] {
    let first = try parseHexQuad()
    var code = UInt32(first)
    if first & 0xFC00 == 0xD800 {
      guard current == UInt8(ascii: "\\"), index + 1 < bytes.count,
        bytes[index + 1] == UInt8(ascii: "u")
      else { throw failure("half of a surrogate pair", .encoding) }
      index += 2
      let second = try parseHexQuad()
      guard second & 0xFC00 == 0xDC00 else {
        throw failure("half of a surrogate pair", .encoding)
      }
      code = 0x10000 + (UInt32(first & 0x3FF) << 10) + UInt32(second & 0x3FF)
    }
    guard let scalar = UnicodeScalar(code) else {
      throw failure("half of a surrogate pair", .encoding)
    }
    return Array(String(scalar).utf8)
  }

  private mutating func parseHexQuad() throws(JSONError) -> UInt16 {
    guard index + 4 <= bytes.count,
      bytes[index..<index + 4].allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }),
      let value = UInt16(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
    else { throw failure("\\u needs four hexadecimal digits") }
    index += 4
    return value
  }

  private func decode(
    _ content: ArraySlice<UInt8>, at opening: JSONPosition
  ) throws(JSONError) -> String {
    guard let text = String(validating: content, as: UTF8.self) else {
      throw failure("a string that is not UTF-8", .encoding, at: opening)
    }
    return text
  }
}
