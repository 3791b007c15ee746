// The precompiled map of characters that SentencePiece puts into its models: a double array of
// what may be replaced, and the replacements.
// Source: sentencepiece's normalizer; Aoe 1989, "An efficient digital search algorithm by using a
// double-array structure"; the layout of units is that of darts-clone.

struct CharacterMap: Sendable, Equatable {
  private let units: [UInt32]
  /// The replacements, each ended by a zero byte.
  private let replacements: [UInt8]
  /// ASCII characters that stay where another one follows.
  private(set) var kept = ASCIISet()

  /// nil where the bytes are no such map: the size of the array in bytes, the array, the texts.
  init?(_ bytes: [UInt8]) {
    func word(_ index: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[index + $1]) << UInt32(8 * $1) }
    }
    guard bytes.count > 4 else { return nil }
    let size = Int(word(0))
    guard size > 0, size % 4 == 0, size < bytes.count - 4 else { return nil }
    units = stride(from: 4, to: 4 + size, by: 4).map(word)
    replacements = Array(bytes[(4 + size)...])
    guard replacements.last == 0, String(validating: replacements, as: UTF8.self) != nil else {
      return nil
    }
    for first in UInt8(0)..<128 {
      if (UInt8(0)..<128).contains(where: { reaches([first, $0]) }) { continue }
      if match([first], 0..<1, isLongest: true) == nil { kept.insert(first) }
    }
  }

  /// The length of the longest replacement.
  var longestReplacement: Int {
    replacements.split(separator: 0).map(\.count).max() ?? 0
  }

  /// Whether the character at a place is one of ASCII that stays, whatever follows.
  @inline(__always)
  func keeps(_ bytes: [UInt8], _ index: Int) -> Bool {
    kept.contains(bytes[index]) && (index + 1 == bytes.count || bytes[index + 1] < 0x80)
  }

  private func reaches(_ text: [UInt8]) -> Bool {
    guard var node = units.first.map(Self.offset) else { return false }
    for byte in text {
      node ^= Int(byte)
      guard node < units.count, Self.label(units[node]) == UInt32(byte) else { return false }
      node ^= Self.offset(units[node])
    }
    return true
  }

  /// The bytes that `init` reads.
  var packed: [UInt8] {
    let size = UInt32(units.count * 4)
    return ([size] + units).flatMap { word in
      (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) }
    } + replacements
  }

  /// The replaceable text at the beginning of a range.
  ///
  /// - Parameter isLongest: the longest of several, else the shortest.
  /// - Returns: its length in bytes and its replacement.
  func match(
    _ bytes: [UInt8], _ range: Range<Int>, isLongest: Bool
  ) -> (count: Int, text: ArraySlice<UInt8>)? {
    var best: (count: Int, place: Int)?
    guard let root = units.first else { return nil }
    var node = Self.offset(root)
    for index in range {
      node ^= Int(bytes[index])
      guard node < units.count else { break }
      let unit = units[node]
      guard Self.label(unit) == UInt32(bytes[index]) else { break }
      node ^= Self.offset(unit)
      guard node < units.count else { break }
      // A hostile map may cut characters in two.
      let endsCharacter = index + 1 >= bytes.count || bytes[index + 1] & 0xC0 != 0x80
      if unit >> 8 & 1 == 1, endsCharacter {
        best = (index - range.lowerBound + 1, Int(units[node] & 0x7FFF_FFFF))
        if !isLongest { break }
      }
    }
    guard let best, best.place < replacements.count, replacements[best.place] & 0xC0 != 0x80 else {
      return nil
    }
    let end = replacements[best.place...].firstIndex(of: 0) ?? replacements.count
    return (best.count, replacements[best.place..<end])
  }

  private static func label(_ unit: UInt32) -> UInt32 { unit & 0x8000_00FF }
  private static func offset(_ unit: UInt32) -> Int {
    Int(unit >> 10) << Int((unit & 0x200) >> 6)
  }
}

extension CharacterMap {
  /// The map applied as PyPI `tokenizers` does: to whole grapheme clusters of less than six bytes,
  /// else to their characters. What begins with something replaceable is replaced whole.
  func apply(_ text: AlignedText) -> AlignedText {
    let bytes = text.bytes
    var isChanged = false
    let result = text.rebuilt { builder in
      var kept = 0
      Self.forEachCluster(bytes) { cluster in
        if cluster.count == 1, keeps(bytes, cluster.lowerBound) { return }
        func replace(_ range: Range<Int>) -> Bool {
          guard let found = match(bytes, range, isLongest: false) else { return false }
          builder.keep(kept..<range.lowerBound)
          builder.put(found.text, for: range)
          kept = range.upperBound
          isChanged = true
          return true
        }
        if cluster.count < 6, replace(cluster) { return }
        if cluster.count == 1 { return }
        DecodedScalar.forEach(bytes, cluster) { _, range in _ = replace(range) }
      }
      builder.keep(kept..<bytes.count)
    }
    return isChanged ? result : text
  }

  /// Between two ASCII characters stands a border, unless they are a line break of two.
  private static func forEachCluster(_ bytes: [UInt8], _ body: (Range<Int>) -> Void) {
    func isBorder(_ index: Int) -> Bool {
      index >= bytes.count
        || (bytes[index - 1] < 0x80 && bytes[index] < 0x80
          && !(bytes[index - 1] == 0x0D && bytes[index] == 0x0A))
    }
    var index = 0
    while index < bytes.count {
      if isBorder(index + 1) {
        body(index..<index + 1)
        index += 1
        continue
      }
      var end = index + 1
      while !isBorder(end) { end += 1 }
      for cluster in String(decoding: bytes[index..<end], as: UTF8.self) {
        let count = cluster.utf8.count
        body(index..<index + count)
        index += count
      }
    }
  }
}
