// Finds the functions of a file and their lengths by counting braces in masked code.

struct FunctionLength: Equatable {
  let name: String
  /// Where its declaration starts, from 1.
  let line: Int
  /// From the declaration to the closing brace, both included.
  let lines: Int
}

enum FunctionLengths {
  static func swift(_ code: String) -> [FunctionLength] {
    let bytes = Array(code.utf8)
    // \x28 is an opening parenthesis, \x3C an angle bracket: the mask does not know regexes.
    let declaration =
      /(?:^|[^.\w])(func\s+[^\s\x28\x3C]+|init(?=[?\x28\x3C])|deinit\b|subscript(?=[\x28\x3C]))/
    return code.matches(of: declaration).compactMap { match in
      let start = code.utf8.distance(from: code.startIndex, to: match.output.1.startIndex)
      guard let open = bodyStart(bytes, after: start) else { return nil }
      return length(bytes, name: String(match.output.1), from: start, open: open)
    }
  }

  /// Every outermost `{` that a `)` precedes.
  static func c(_ code: String) -> [FunctionLength] {
    let bytes = Array(withoutDirectives(code).utf8)
    var found: [FunctionLength] = []
    var index = 0
    while let open = bytes[index...].firstIndex(of: UInt8(ascii: "{")) {
      let header = bytes[index..<open]
      let close = matching(bytes, open)
      if header.last(where: { $0 > 32 }) == UInt8(ascii: ")") {
        let text = String(decoding: header, as: UTF8.self)
        let name = text.matches(of: /(\w+)\s*\(/).last.map { String($0.output.1) } ?? "?"
        let statement = header.lastIndex(of: UInt8(ascii: ";")).map { $0 + 1 } ?? index
        let blanks = header[statement...].prefix { $0 <= 32 }.count
        found.append(length(bytes, name: name, from: statement + blanks, open: open))
      } else if text(header).contains(/extern\s*$/) {
        index = open + 1
        continue
      }
      index = close + 1
    }
    return found
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes, as: UTF8.self)
  }

  /// Macros may hold half of a pair of braces; they are not functions of the file.
  private static func withoutDirectives(_ code: String) -> String {
    var continued = false
    return code.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      let directive = continued || line.drop { $0 == " " }.hasPrefix("#")
      continued = directive && line.hasSuffix("\\")
      return directive ? "" : line
    }.joined(separator: "\n")
  }

  /// The `{` of the declaration at `start`; nil for a requirement of a protocol, which has none.
  private static func bodyStart(_ bytes: [UInt8], after start: Int) -> Int? {
    var depth = 0
    var index = start
    while index < bytes.count {
      switch bytes[index] {
      case UInt8(ascii: "("), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: ")"), UInt8(ascii: "]"): depth -= 1
      case UInt8(ascii: "{") where depth == 0: return index
      case UInt8(ascii: "}") where depth == 0: return nil
      case UInt8(ascii: "\n") where depth == 0 && declares(bytes, at: index + 1): return nil
      default: break
      }
      index += 1
    }
    return nil
  }

  /// Whether the line at `index` starts another declaration.
  private static func declares(_ bytes: [UInt8], at index: Int) -> Bool {
    let line = text(bytes[index...].prefix { $0 != UInt8(ascii: "\n") })
    return line.firstMatch(of: /^\s*(@|#|\w+\s+)*(func|var|let|init|static|associatedtype|case)\b/)
      != nil
  }

  private static func matching(_ bytes: [UInt8], _ open: Int) -> Int {
    var depth = 0
    for index in open..<bytes.count {
      if bytes[index] == UInt8(ascii: "{") { depth += 1 }
      if bytes[index] == UInt8(ascii: "}") { depth -= 1 }
      if depth == 0 { return index }
    }
    return bytes.count - 1
  }

  private static func length(
    _ bytes: [UInt8], name: String, from start: Int, open: Int
  ) -> FunctionLength {
    let newline = UInt8(ascii: "\n")
    let before = bytes[..<start].count { $0 == newline }
    let inside = bytes[start...matching(bytes, open)].count { $0 == newline }
    return FunctionLength(name: name, line: before + 1, lines: inside + 1)
  }
}
