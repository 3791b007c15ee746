// Text in canonical composition (NFC), with the way back to the bytes it came from.
// The standard library offers composition only as an underscored interface; Foundation's own does
// not compose all Hangul syllables, so it is no way round.
@_spi(_Unicode) import Swift

/// A composed stretch of text and its alignment with the original bytes.
struct ComposedText {
  /// The Unicode version of the reference's composition tables. It takes later characters for
  /// unassigned ones, which neither compose nor change places with their neighbours.
  private static let referenceVersion = 9

  private(set) var bytes: [UInt8] = []
  /// Where the stretch begins in the original.
  private let start: Int
  /// Places from which on composed and original offsets differ: pairs of equal position, in
  /// order; empty when composition changed nothing.
  private var marks: [(composed: Int, original: Int)] = []

  /// Composes `original[range]`, which is valid UTF-8 and begins and ends between characters.
  init(_ original: [UInt8], _ range: Range<Int>) {
    start = range.lowerBound
    // Everything below U+0300 (lead byte CC) is composed already and stays so.
    guard original[range].contains(where: { $0 >= 0xCC }) else {
      bytes = Array(original[range])
      return
    }
    let text = String(decoding: original[range], as: UTF8.self)
    bytes.reserveCapacity(range.count)
    var position = range.lowerBound
    // Canonical composition never crosses the border of a grapheme cluster.
    for character in text {
      let cluster = String(character)
      let before = bytes.count
      appendComposed(cluster)
      let length = cluster.utf8.count
      let changed = bytes.count - before != length
        || !bytes[before...].elementsEqual(original[position..<position + length])
      if changed {
        marks.append((before, position))
        marks.append((bytes.count, position + length))
      }
      position += length
    }
  }

  private mutating func appendComposed(_ cluster: String) {
    let scalars = cluster.unicodeScalars
    if scalars.count == 1, let only = scalars.first, Self.isStable(only) {
      bytes.append(contentsOf: cluster.utf8)
      return
    }
    var known = String.UnicodeScalarView()
    for scalar in scalars {
      if let age = scalar.properties.age, age.major <= Self.referenceVersion {
        known.append(scalar)
        continue
      }
      append(composing: known)
      known = String.UnicodeScalarView()
      bytes.append(contentsOf: String(scalar).utf8)
    }
    append(composing: known)
  }

  /// Tibetan vowels of class 0 that decompose to marks of other classes. The standard library
  /// orders marks by the class before decomposition and so leaves these where they stand.
  private static let splitVowels: [Unicode.Scalar: [Unicode.Scalar]] = [
    "\u{F73}": ["\u{F71}", "\u{F72}"], "\u{F75}": ["\u{F71}", "\u{F74}"],
    "\u{F81}": ["\u{F71}", "\u{F80}"],
  ]

  private mutating func append(composing scalars: String.UnicodeScalarView) {
    var spelled = String.UnicodeScalarView()
    for scalar in scalars { spelled.append(contentsOf: Self.splitVowels[scalar] ?? [scalar]) }
    for scalar in String(spelled)._nfc { bytes.append(contentsOf: String(scalar).utf8) }
  }

  /// Blocks without a character that composition changes: Latin, and kana to Hangul.
  private static func isStable(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x340 || (0x3000...0xD7A3).contains(scalar.value)
  }

  /// The original bytes of a composed range; a changed cluster counts as a whole.
  func originalRange(_ range: Range<Int>) -> Range<Int> {
    guard !marks.isEmpty else { return range.lowerBound + start..<range.upperBound + start }
    return original(range.lowerBound, roundingUp: false)
      ..< original(range.upperBound, roundingUp: true)
  }

  /// The part of the composed text that comes wholly from an original range.
  func composedRange(_ range: Range<Int>) -> Range<Int> {
    let low = composed(range.lowerBound)
    return low..<max(low, composed(range.upperBound))
  }

  private func original(_ offset: Int, roundingUp: Bool) -> Int {
    let index = marks.partitioningIndex { $0.composed > offset }
    guard index > 0 else { return offset + start }
    let mark = marks[index - 1]
    // After an even mark comes the inside of a changed cluster.
    let isInside = index % 2 == 1
    if isInside {
      return offset == mark.composed || !roundingUp ? mark.original : marks[index].original
    }
    return mark.original + offset - mark.composed
  }

  private func composed(_ offset: Int) -> Int {
    let offset = min(max(offset, start), originalEnd)
    let index = marks.partitioningIndex { $0.original > offset }
    guard index > 0 else { return offset - start }
    let mark = marks[index - 1]
    if index % 2 == 1 { return offset == mark.original ? mark.composed : marks[index].composed }
    return mark.composed + offset - mark.original
  }

  private var originalEnd: Int {
    guard let last = marks.last else { return start + bytes.count }
    return last.original + bytes.count - last.composed
  }
}

extension Array {
  /// The first index whose element satisfies a predicate that is false, then true, along the
  /// array.
  fileprivate func partitioningIndex(_ belongs: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongs(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
