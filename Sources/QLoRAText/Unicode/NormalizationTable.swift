// Decompositions, combining classes and compositions by character, unpacked from NormalizationData.
// Source: Unicode Standard Annex 15 and section 3.12 of the standard for Hangul.

struct NormalizationTable: Sendable {
  static let shared = NormalizationTable()

  /// What is known of one character.
  struct Entry: Sendable {
    var canonical: Range<UInt32> = 0..<0
    var compatible: Range<UInt32> = 0..<0
    var combiningClass: UInt8 = 0
    /// Some character before it may take it in.
    var composesBackward = false
  }

  private var entries = [Entry()]
  /// Entry numbers, 256 to a page.
  private var cells = [UInt16](repeating: 0, count: 256)
  private var pages = [UInt16](repeating: 0, count: 0x1100)
  private var texts: [Unicode.Scalar] = []
  private var compositions: [UInt64: Unicode.Scalar] = [:]

  private init() {
    var numbers = PackedNumbers(base64: NormalizationData.packed)
    for isCompatible in [false, true] { readDecompositions(&numbers, isCompatible) }
    readClasses(&numbers)
    for _ in 0..<numbers.next() {
      let (first, second, composed) = (numbers.next(), numbers.next(), numbers.scalar())
      compositions[UInt64(first) << 32 | UInt64(second)] = composed
      change(second) { $0.composesBackward = true }
    }
  }

  private mutating func readDecompositions(_ numbers: inout PackedNumbers, _ isCompatible: Bool) {
    var value: UInt32 = 0
    for _ in 0..<numbers.next() {
      value += numbers.next()
      let start = UInt32(texts.count)
      for _ in 0..<numbers.next() { texts.append(numbers.scalar()) }
      let range = start..<UInt32(texts.count)
      change(value) { entry in
        // A canonical decomposition is a compatible one where no other is named.
        if !isCompatible { entry.canonical = range }
        entry.compatible = range
      }
    }
  }

  private mutating func readClasses(_ numbers: inout PackedNumbers) {
    var value: UInt32 = 0
    for _ in 0..<numbers.next() {
      value += numbers.next()
      let (count, kind) = (numbers.next(), numbers.next())
      for member in value..<value + count {
        change(member) { $0.combiningClass = UInt8(truncatingIfNeeded: kind) }
      }
    }
  }

  private mutating func change(_ value: UInt32, _ body: (inout Entry) -> Void) {
    let page = Int(value >> 8)
    if pages[page] == 0 {
      pages[page] = UInt16(cells.count / 256)
      cells.append(contentsOf: repeatElement(0, count: 256))
    }
    let cell = Int(pages[page]) * 256 + Int(value & 0xFF)
    if cells[cell] == 0 {
      cells[cell] = UInt16(entries.count)
      entries.append(Entry())
    }
    body(&entries[Int(cells[cell])])
  }

  /// nil for a character of class 0 that nothing changes, Hangul aside.
  @inline(__always)
  func entry(_ scalar: Unicode.Scalar) -> Entry? {
    let cell = cells[Int(pages[Int(scalar.value >> 8)]) * 256 + Int(scalar.value & 0xFF)]
    return cell == 0 ? nil : entries[Int(cell)]
  }

  func text(_ range: Range<UInt32>) -> ArraySlice<Unicode.Scalar> {
    texts[Int(range.lowerBound)..<Int(range.upperBound)]
  }

  func composition(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    if let syllable = Hangul.composition(first.value, second.value) { return syllable }
    return compositions[UInt64(first.value) << 32 | UInt64(second.value)]
  }
}

/// The arithmetic of Hangul syllables.
enum Hangul {
  private static let (syllables, leads, vowels, tails) =
    (UInt32(0xAC00), UInt32(0x1100), UInt32(0x1161), UInt32(0x11A7))
  private static let (leadCount, vowelCount, tailCount) = (UInt32(19), UInt32(21), UInt32(28))

  static func isSyllable(_ value: UInt32) -> Bool {
    value &- syllables < leadCount * vowelCount * tailCount
  }

  /// A vowel or a tail, which a syllable before may take in.
  static func composesBackward(_ value: UInt32) -> Bool {
    value &- vowels < vowelCount || (value > tails && value < tails + tailCount)
  }

  static func decomposition(_ value: UInt32) -> [Unicode.Scalar] {
    let index = value - syllables
    let tail = index % tailCount
    let parts = [
      leads + index / (vowelCount * tailCount), vowels + index / tailCount % vowelCount,
    ]
    return (tail == 0 ? parts : parts + [tails + tail]).compactMap(Unicode.Scalar.init)
  }

  static func composition(_ first: UInt32, _ second: UInt32) -> Unicode.Scalar? {
    let (lead, vowel) = (first &- leads, second &- vowels)
    if lead < leadCount, vowel < vowelCount {
      return Unicode.Scalar(syllables + (lead * vowelCount + vowel) * tailCount)
    }
    let tail = second &- tails
    if isSyllable(first), (first - syllables) % tailCount == 0, tail > 0, tail < tailCount {
      return Unicode.Scalar(first + tail)
    }
    return nil
  }
}
