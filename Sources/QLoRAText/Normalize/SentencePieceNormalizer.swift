// What SentencePiece does to a text before it cuts it into pieces, as its model files describe it.
// Source: sentencepiece's normalizer, whose results this gives.

struct SentencePieceNormalizer: Sendable, Equatable {
  static let mark = Array("\u{2581}".utf8)

  var map: CharacterMap?
  /// A mark before the text, which makes its first word like any other.
  var addsPrefix = true
  /// Only where the text is the beginning of the original, not behind a control token.
  var prefixesStartOnly = false
  /// Spaces at both ends go, several in a row become one.
  var removesExtraSpaces = true
  /// Spaces become marks.
  var escapesSpaces = true
  /// The mark that is added goes behind the text.
  var marksEnd = false
  /// Pieces that normalization leaves alone.
  var protected: PieceTrie?

  func apply(_ text: AlignedText) -> AlignedText {
    let bytes = text.bytes
    let addsPrefix = addsPrefix && !(prefixesStartOnly && text.originalPlace(0) > 0)
    return text.rebuilt { builder in
      let space = escapesSpaces ? Self.mark : [0x20]
      // Taken once out of what would be counted as used at every character.
      let plain = (map?.kept ?? .all).subtracting(protected?.starts ?? ASCIISet())
      var index = removesExtraSpaces ? endOfLeadingSpaces(bytes) : 0
      guard index < bytes.count else { return }
      if addsPrefix, !marksEnd { builder.put(space, for: index..<index) }
      var isAfterSpace = removesExtraSpaces
      var kept = index
      while index < bytes.count {
        let isFollowedByASCII = index + 1 == bytes.count || bytes[index + 1] < 0x80
        if isFollowedByASCII, plain.contains(bytes[index]) {
          if bytes[index] == 0x20 {
            builder.keep(kept..<index)
            kept = index + 1
            if !isAfterSpace { builder.put(space, for: index..<index + 1) }
            isAfterSpace = removesExtraSpaces
          } else {
            isAfterSpace = false
          }
          index += 1
          continue
        }
        let (count, replacement) = prefix(bytes, index)
        let range = index..<index + count
        index = range.upperBound
        var new = replacement ?? bytes[range]
        if replacement == nil, !new.contains(0x20) {
          isAfterSpace = false
          continue
        }
        builder.keep(kept..<range.lowerBound)
        kept = index
        while isAfterSpace, new.first == 0x20 { new = new.dropFirst() }
        if !new.isEmpty {
          put(new, for: range, space, into: &builder)
          isAfterSpace = removesExtraSpaces && new.last == 0x20
        }
      }
      builder.keep(kept..<bytes.count)
      if removesExtraSpaces {
        while builder.bytes.suffix(space.count).elementsEqual(space) {
          builder.removeLast(space.count)
        }
      }
      if addsPrefix, marksEnd { builder.put(space, for: bytes.count..<bytes.count) }
    }
  }

  private func put(
    _ new: ArraySlice<UInt8>, for range: Range<Int>, _ space: [UInt8],
    into builder: inout AlignedText.Builder
  ) {
    guard new.contains(0x20) else { return builder.put(new, for: range) }
    for byte in new {
      if byte == 0x20 {
        builder.put(space, for: range)
      } else {
        builder.put(CollectionOfOne(byte), for: range)
      }
    }
  }

  private func endOfLeadingSpaces(_ bytes: [UInt8]) -> Int {
    var index = 0
    while index < bytes.count {
      let (count, replacement) = prefix(bytes, index)
      guard replacement.map({ $0.elementsEqual([0x20]) }) ?? (count == 1 && bytes[index] == 0x20)
      else { break }
      index += count
    }
    return index
  }

  /// What stands at a place: how many bytes, and what takes their place; nil: they stay.
  private func prefix(_ bytes: [UInt8], _ index: Int) -> (Int, ArraySlice<UInt8>?) {
    if let protected, let count = protected.longestMatch(bytes, index..<bytes.count) {
      return (count, nil)
    }
    if let found = map?.match(bytes, index..<bytes.count, isLongest: true) {
      return (found.count, found.text)
    }
    return (DecodedScalar.length(bytes[index]), nil)
  }
}
