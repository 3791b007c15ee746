// The bulk of large files: runs of short entries without escapes, taken in one sweep as places in
// the file's bytes. What is spelled otherwise is left to the reader, which also says what is wrong.

/// Entries of an object or array, as places in the bytes of the file.
package struct PlainEntries {
  /// So many that what a table holds of them fits into the fastest cache.
  package static let capacity = 64

  /// A key, an element that is a text, or the first of two.
  package fileprivate(set) var texts: [Range<Int>] = []
  /// Of an element that is a pair of texts the second; of others an empty range.
  package fileprivate(set) var seconds: [Range<Int>] = []
  /// The values of an object.
  package fileprivate(set) var numbers: [Int] = []

  package init() {}

  fileprivate mutating func removeAll() {
    texts.removeAll(keepingCapacity: true)
    seconds.removeAll(keepingCapacity: true)
    numbers.removeAll(keepingCapacity: true)
  }
}

extension JSONPullReader {
  /// Takes members that are a plain text with a natural number, until there are enough or
  /// something else comes, which is left to be read. The texts may not be UTF-8, and count
  /// nothing against the limits of sizes.
  package mutating func takePlainMembers(_ entries: inout PlainEntries, below limit: Int) {
    take(&entries) { scanner, entries in
      guard let key = scanner.text(), scanner.passes(UInt8(ascii: ":")),
        let number = scanner.number(), number < limit
      else { return false }
      entries.texts.append(key)
      entries.numbers.append(number)
      return true
    }
  }

  /// As `takePlainMembers`, for elements that are a plain text or an array of two.
  package mutating func takePlainTexts(_ entries: inout PlainEntries) {
    take(&entries) { scanner, entries in
      if let text = scanner.text() {
        entries.texts.append(text)
        entries.seconds.append(text.upperBound..<text.upperBound)
        return true
      }
      guard scanner.passes(UInt8(ascii: "[")), let first = scanner.text(),
        scanner.passes(UInt8(ascii: ",")), let second = scanner.text(), !second.isEmpty,
        scanner.passes(UInt8(ascii: "]"))
      else { return false }
      entries.texts.append(first)
      entries.seconds.append(second)
      return true
    }
  }

  /// - Parameter one: takes an entry without what stands before and behind it; false where there
  ///   is none.
  @inline(__always)
  private mutating func take(
    _ entries: inout PlainEntries, one: (inout PlainScanner, inout PlainEntries) -> Bool
  ) {
    entries.removeAll()
    let start = bookmark
    let reached = bytes.withUnsafeBytes { bytes in
      var scanner = PlainScanner(bytes: bytes, at: start)
      var reached = scanner
      while entries.texts.count < PlainEntries.capacity {
        // Before the first entry there is no comma.
        _ = scanner.passes(UInt8(ascii: ","))
        let known = entries.texts.count
        guard one(&scanner, &entries), scanner.isAtEndOfEntry else {
          entries.texts.removeSubrange(known...)
          if entries.seconds.count > known { entries.seconds.removeLast() }
          if entries.numbers.count > known { entries.numbers.removeLast() }
          break
        }
        reached = scanner
      }
      return reached.bookmark(start)
    }
    bookmark = reached
  }
}

/// Reads what is written plainly; at anything else its methods give nothing, and its place is
/// worth nothing.
private struct PlainScanner {
  let bytes: UnsafeRawBufferPointer
  private var index: Int
  private var line: Int
  private var lineStart: Int

  init(bytes: UnsafeRawBufferPointer, at place: JSONPullReader.Bookmark) {
    self.bytes = bytes
    (index, line, lineStart) = (place.index, place.line, place.lineStart)
  }

  func bookmark(_ start: JSONPullReader.Bookmark) -> JSONPullReader.Bookmark {
    (index, start.depth, line, lineStart)
  }

  /// Whether a comma or a bracket comes next.
  var isAtEndOfEntry: Bool {
    guard index < bytes.count else { return false }
    return switch bytes[index] {
    case UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"): true
    default: false
    }
  }

  /// Eight bytes, the first lowest.
  @inline(__always)
  private func eightBytes(_ place: Int) -> UInt64 {
    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
  }

  private static let ones: UInt64 = 0x0101_0101_0101_0101

  @inline(__always)
  private mutating func skipBlank() {
    while index < bytes.count {
      let byte = bytes[index]
      if byte > 0x20 { return }
      guard byte == 0x20 || byte == 0x0A else { return }
      index += 1
      guard byte == 0x0A else { continue }
      line += 1
      lineStart = index
      // Indentation is a third of a pretty file.
      while index + 8 <= bytes.count {
        let others = eightBytes(index) ^ (0x20 &* Self.ones)
        index += others == 0 ? 8 : others.trailingZeroBitCount / 8
        if others != 0 { break }
      }
    }
  }

  /// Passes a mark and the blanks behind it.
  @inline(__always)
  mutating func passes(_ mark: UInt8) -> Bool {
    guard index < bytes.count, bytes[index] == mark else { return false }
    index += 1
    skipBlank()
    return true
  }

  /// A string without escapes and the blanks behind it; gives what is between its quotes.
  @inline(__always)
  mutating func text() -> Range<Int>? {
    guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return nil }
    let start = index + 1
    var end = start
    while end + 8 <= bytes.count {
      let word = eightBytes(end)
      let quotes = word ^ (UInt64(UInt8(ascii: "\"")) &* Self.ones)
      let escapes = word ^ (UInt64(UInt8(ascii: "\\")) &* Self.ones)
      // The lowest high bit is that of the first quote, backslash or control character; those
      // above it may be wrong.
      let found =
        ((quotes &- Self.ones) & ~quotes) | ((escapes &- Self.ones) & ~escapes)
        | ((word &- 0x20 &* Self.ones) & ~word)
      let ends = found & (0x80 &* Self.ones)
      end += ends == 0 ? 8 : ends.trailingZeroBitCount / 8
      if ends != 0 { break }
    }
    // A string in the file's last bytes is left to the reader as well.
    guard end < bytes.count, bytes[end] == UInt8(ascii: "\"") else { return nil }
    index = end + 1
    skipBlank()
    return start..<end
  }

  /// A whole number of at most nine digits and the blanks behind it.
  @inline(__always)
  mutating func number() -> Int? {
    let start = index
    var number = 0
    while index < bytes.count, index - start < 10, bytes[index] &- UInt8(ascii: "0") < 10 {
      number = number * 10 + Int(bytes[index] - UInt8(ascii: "0"))
      index += 1
    }
    let count = index - start
    guard count > 0, count < 10, count == 1 || bytes[start] != UInt8(ascii: "0") else { return nil }
    skipBlank()
    return number
  }
}
