// Blanks comments and literals of Swift and C, so that rules meet only code. It is a scanner of
// quotes, not a parser: interpolated code inside a string is blanked with it.

enum CodeMask {
  /// The same bytes, with all but newlines replaced by spaces inside comments and literals.
  static func mask(_ text: [UInt8]) -> [UInt8] {
    var scanner = Scanner(text: text, output: text)
    scanner.run()
    return scanner.output
  }

  private struct Scanner {
    let text: [UInt8]
    var output: [UInt8]
    var index = 0

    mutating func run() {
      while index < text.count {
        if starts(with: "//") {
          blank(upTo: "\n")
        } else if starts(with: "/*") {
          blankBlockComment()
        } else if let hashes = rawStringHashes {
          blankString(hashes: hashes)
        } else if starts(with: "'"), let length = characterLiteral {
          blank(count: length)
        } else {
          index += 1
        }
      }
    }

    func starts(with prefix: String, at offset: Int = 0) -> Bool {
      text[min(index + offset, text.count)...].starts(with: prefix.utf8)
    }

    /// How many `#` open the string literal that starts here; nil where none does.
    var rawStringHashes: Int? {
      var hashes = 0
      while index + hashes < text.count, text[index + hashes] == UInt8(ascii: "#") { hashes += 1 }
      return starts(with: "\"", at: hashes) ? hashes : nil
    }

    /// The length of a C character literal, `'x'` or `'\x'`.
    var characterLiteral: Int? {
      if starts(with: "'", at: 2) { return 3 }
      return starts(with: "\\", at: 1) && starts(with: "'", at: 3) ? 4 : nil
    }

    mutating func blank(count: Int) {
      for _ in 0..<count where index < text.count {
        if output[index] != UInt8(ascii: "\n") { output[index] = UInt8(ascii: " ") }
        index += 1
      }
    }

    mutating func blank(upTo end: String) {
      while index < text.count, !starts(with: end) { blank(count: 1) }
    }

    mutating func blankBlockComment() {
      var depth = 0
      repeat {
        if starts(with: "/*") {
          depth += 1
          blank(count: 2)
        } else if starts(with: "*/") {
          depth -= 1
          blank(count: 2)
        } else {
          blank(count: 1)
        }
      } while depth > 0 && index < text.count
    }

    mutating func blankString(hashes: Int) {
      blank(count: hashes)
      let quote = starts(with: "\"\"\"") ? "\"\"\"" : "\""
      let marks = String(repeating: "#", count: hashes)
      blank(count: quote.utf8.count)
      blankBody(closing: quote + marks, escape: "\\" + marks)
      blank(count: quote.utf8.count + hashes)
    }

    /// Up to the closing quote; an interpolation may hold quotes of its own.
    mutating func blankBody(closing: String, escape: String) {
      while index < text.count, !starts(with: closing) {
        if closing.utf8.first == UInt8(ascii: "\""), closing.utf8.count == 1, starts(with: "\n") {
          return
        }
        guard starts(with: escape) else {
          blank(count: 1)
          continue
        }
        blank(count: escape.utf8.count)
        if starts(with: "(") { blankInterpolation() } else { blank(count: 1) }
      }
    }

    mutating func blankInterpolation() {
      var depth = 0
      repeat {
        if starts(with: "(") { depth += 1 }
        if starts(with: ")") { depth -= 1 }
        if let hashes = rawStringHashes {
          blankString(hashes: hashes)
        } else {
          blank(count: 1)
        }
      } while depth > 0 && index < text.count
    }
  }
}
