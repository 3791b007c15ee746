// Cuts a template into text and the tokens inside its tags, with Jinja's rules for white space:
// trim_blocks and lstrip_blocks on, as transformers sets them.
import QLoRADiagnostics

struct TemplateToken: Sendable {
  enum Kind: Sendable, Equatable {
    case text(String)
    case blockStart, blockEnd, outputStart, outputEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    case symbol(String)
    case end
  }

  let kind: Kind
  let offset: Int
}

struct TemplateLexer {
  private let source: TemplateSource
  private let scalars: [Unicode.Scalar]
  private var index = 0
  private var tokens: [TemplateToken] = []
  /// Whether what was read last ended a line, so that a block here stands at a line's start.
  private var isAtLineStart = true

  init(_ source: TemplateSource) {
    self.source = source
    scalars = source.scalars
  }

  mutating func tokenize() throws(Diagnostic) -> [TemplateToken] {
    while index < scalars.count { try readTextAndTag() }
    tokens.append(TemplateToken(kind: .end, offset: scalars.count))
    return tokens
  }

  private enum Tag { case block, output, comment }

  private func tag(at place: Int) -> Tag? {
    guard place + 1 < scalars.count, scalars[place] == "{" else { return nil }
    switch scalars[place + 1] {
    case "%": return .block
    case "{": return .output
    case "#": return .comment
    default: return nil
    }
  }

  private mutating func readTextAndTag() throws(Diagnostic) {
    let start = index
    var tagStart = start
    while tagStart < scalars.count, tag(at: tagStart) == nil { tagStart += 1 }
    guard let tag = tag(at: tagStart) else {
      addText(start, scalars.count)
      index = scalars.count
      return
    }
    let sign = tagStart + 2 < scalars.count ? scalars[tagStart + 2] : " "
    let end = textEnd(start, tagStart, sign, strips: tag != .output)
    addText(start, end)
    index = tagStart + 2 + (sign == "-" || sign == "+" ? 1 : 0)
    switch tag {
    case .comment: try skipComment(tagStart)
    case .output: try readTag(from: tagStart, isBlock: false)
    case .block:
      if try !readRaw(from: tagStart) { try readTag(from: tagStart, isBlock: true) }
    }
  }

  /// Where text before a tag ends once its white space is stripped.
  private func textEnd(
    _ start: Int, _ tagStart: Int, _ sign: Unicode.Scalar, strips: Bool
  ) -> Int {
    var end = tagStart
    while end > start, scalars[end - 1].isPythonSpace, sign == "-" { end -= 1 }
    guard strips, sign != "-", sign != "+" else { return end }
    var lineStart = tagStart
    while lineStart > start, scalars[lineStart - 1] != "\n" { lineStart -= 1 }
    guard lineStart > start || isAtLineStart else { return end }
    let isBlank = scalars[lineStart..<tagStart].allSatisfy(\.isPythonSpace)
    return isBlank ? lineStart : end
  }

  private mutating func addText(_ start: Int, _ end: Int) {
    guard start < end else { return }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars[start..<end])
    tokens.append(TemplateToken(kind: .text(String(view)), offset: start))
  }

  /// Reads a tag's closing mark if it stands here: `-%}` takes the white space after it along,
  /// `%}` one line end, `+%}` nothing.
  private mutating func skipClosing(_ first: Unicode.Scalar, trimsLine: Bool) -> Bool {
    var place = index
    let sign = place < scalars.count ? scalars[place] : " "
    if sign == "-" || (sign == "+" && trimsLine) { place += 1 }
    guard place + 1 < scalars.count, scalars[place] == first, scalars[place + 1] == "}" else {
      return false
    }
    place += 2
    if sign == "-" {
      while place < scalars.count, scalars[place].isPythonSpace { place += 1 }
    } else if trimsLine, sign != "+", place < scalars.count, scalars[place] == "\n" {
      place += 1
    }
    isAtLineStart = scalars[place - 1] == "\n"
    index = place
    return true
  }

  private mutating func skipComment(_ start: Int) throws(Diagnostic) {
    while index < scalars.count {
      if skipClosing("#", trimsLine: true) { return }
      index += 1
    }
    throw source.failure(.templateSyntax, "a comment without its closing #}", at: start)
  }

  private mutating func skipBlank() {
    while index < scalars.count, scalars[index].isPythonSpace { index += 1 }
  }

  private mutating func skipWord(_ word: String) -> Bool {
    let letters = Array(word.unicodeScalars)
    guard index + letters.count <= scalars.count,
      scalars[index..<index + letters.count].elementsEqual(letters)
    else { return false }
    index += letters.count
    return true
  }

  /// Reads a whole raw block if one begins here.
  private mutating func readRaw(from tagStart: Int) throws(Diagnostic) -> Bool {
    let afterSign = index
    skipBlank()
    guard skipWord("raw") else {
      index = afterSign
      return false
    }
    skipBlank()
    guard index < scalars.count, scalars[index] == "-" || scalars[index] == "%" else {
      index = afterSign
      return false
    }
    let closing = index
    guard skipClosing("%", trimsLine: false) else {
      index = afterSign
      return false
    }
    // Unlike other blocks, the opening one keeps the line end after it.
    isAtLineStart = scalars[closing] == "-" && scalars[index - 1] == "\n"
    let start = index
    for place in start..<max(start, scalars.count) where tag(at: place) == .block {
      index = place + 2
      let sign = index < scalars.count ? scalars[index] : " "
      if sign == "-" || sign == "+" { index += 1 }
      skipBlank()
      guard skipWord("endraw") else { continue }
      skipBlank()
      if skipClosing("%", trimsLine: true) {
        addText(start, textEnd(start, place, sign, strips: true))
        return true
      }
    }
    throw source.failure(.templateSyntax, "a raw block without its endraw", at: tagStart)
  }

  private mutating func readTag(from tagStart: Int, isBlock: Bool) throws(Diagnostic) {
    tokens.append(TemplateToken(kind: isBlock ? .blockStart : .outputStart, offset: tagStart))
    var brackets: [Unicode.Scalar] = []
    while true {
      skipBlank()
      let start = index
      if brackets.isEmpty, skipClosing(isBlock ? "%" : "}", trimsLine: isBlock) {
        tokens.append(TemplateToken(kind: isBlock ? .blockEnd : .outputEnd, offset: start))
        return
      }
      guard index < scalars.count else {
        throw source.failure(.templateSyntax, "a tag without its end", at: tagStart)
      }
      tokens.append(TemplateToken(kind: try readToken(&brackets), offset: start))
    }
  }

  private mutating func readToken(
    _ brackets: inout [Unicode.Scalar]
  ) throws(Diagnostic) -> TemplateToken.Kind {
    let first = scalars[index]
    if first == "'" || first == "\"" { return .string(try readString()) }
    if ("0"..."9").contains(first) { return try readNumber() }
    if isNameScalar(first) {
      var view = String.UnicodeScalarView()
      while index < scalars.count, isNameScalar(scalars[index]) {
        view.append(scalars[index])
        index += 1
      }
      return .name(String(view))
    }
    for symbol in ["//", "**", "==", "!=", ">=", "<="] where skipWord(symbol) {
      return .symbol(symbol)
    }
    guard "+-/*%~[](){}><=.:|,;".unicodeScalars.contains(first) else {
      throw source.failure(.templateSyntax, "unexpected character \"\(first)\"", at: index)
    }
    switch first {
    case "(": brackets.append(")")
    case "[": brackets.append("]")
    case "{": brackets.append("}")
    case ")", "]", "}":
      guard brackets.popLast() == first else {
        throw source.failure(.templateSyntax, "unexpected \"\(first)\"", at: index)
      }
    default: break
    }
    index += 1
    return .symbol(String(first))
  }

  private func isNameScalar(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.properties.isXIDContinue
  }

  private mutating func readNumber() throws(Diagnostic) -> TemplateToken.Kind {
    let start = index
    var text = ""
    func isDigit(_ place: Int) -> Bool {
      place < scalars.count && ("0"..."9").contains(scalars[place])
    }
    func takeDigits(_ index: inout Int, _ text: inout String) {
      while isDigit(index) || (index < scalars.count && scalars[index] == "_" && isDigit(index + 1))
      {
        if scalars[index] != "_" { text.unicodeScalars.append(scalars[index]) }
        index += 1
      }
    }
    takeDigits(&index, &text)
    var isFloat = false
    // After a dot, as in `x.0.5`, digits are elements rather than fractions.
    let followsDot = start > 0 && scalars[start - 1] == "."
    if !followsDot, index < scalars.count, scalars[index] == ".", isDigit(index + 1) {
      isFloat = true
      text += "."
      index += 1
      takeDigits(&index, &text)
    }
    if !followsDot, index < scalars.count, scalars[index] == "e" || scalars[index] == "E" {
      let hasSign = index + 1 < scalars.count && "+-".unicodeScalars.contains(scalars[index + 1])
      if isDigit(index + (hasSign ? 2 : 1)) {
        isFloat = true
        text += "e" + (hasSign ? String(scalars[index + 1]) : "")
        index += hasSign ? 2 : 1
        takeDigits(&index, &text)
      }
    }
    if isFloat, let value = Double(text) { return .float(value) }
    guard let value = Int(text) else {
      throw source.failure(.templateSyntax, "the number \(text) is out of range", at: start)
    }
    return .integer(value)
  }

  private mutating func readString() throws(Diagnostic) -> String {
    let opening = index
    let quote = scalars[index]
    index += 1
    var view = String.UnicodeScalarView()
    while index < scalars.count {
      let scalar = scalars[index]
      index += 1
      if scalar == quote { return String(view) }
      if scalar == "\\" { try readEscape(into: &view, opening) } else { view.append(scalar) }
    }
    throw source.failure(.templateSyntax, "a string without its closing quote", at: opening)
  }

  private mutating func readEscape(
    into view: inout String.UnicodeScalarView, _ opening: Int
  ) throws(Diagnostic) {
    guard index < scalars.count else {
      throw source.failure(.templateSyntax, "a string without its closing quote", at: opening)
    }
    let scalar = scalars[index]
    index += 1
    switch scalar {
    case "n": view.append("\n")
    case "t": view.append("\t")
    case "r": view.append("\r")
    case "a": view.append("\u{7}")
    case "b": view.append("\u{8}")
    case "f": view.append("\u{C}")
    case "v": view.append("\u{B}")
    case "\\", "'", "\"": view.append(scalar)
    case "\n": break
    case "x": view.append(try readHexadecimal(2))
    case "u": view.append(try readHexadecimal(4))
    case "U": view.append(try readHexadecimal(8))
    case "0"..."7":
      var value = scalar.value - 0x30
      for _ in 0..<2 where index < scalars.count && ("0"..."7").contains(scalars[index]) {
        value = value * 8 + scalars[index].value - 0x30
        index += 1
      }
      view.append(Unicode.Scalar(value) ?? "\u{FFFD}")
    default:
      // Python keeps the backslash of an escape it does not know.
      view.append("\\")
      view.append(scalar)
    }
  }

  private mutating func readHexadecimal(_ count: Int) throws(Diagnostic) -> Unicode.Scalar {
    var value: UInt32 = 0
    for place in index..<index + count {
      guard place < scalars.count, scalars[place].isASCII,
        let digit = Character(scalars[place]).hexDigitValue
      else {
        throw source.failure(.templateSyntax, "an escape lacks hexadecimal digits", at: index)
      }
      value = value << 4 | UInt32(digit)
    }
    guard let scalar = Unicode.Scalar(value) else {
      throw source.failure(.templateSyntax, "an escape is no character", at: index)
    }
    index += count
    return scalar
  }
}
