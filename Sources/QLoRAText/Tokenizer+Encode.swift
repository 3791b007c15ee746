// From text to ids: added tokens first, then normalization, splitting and merging of what is left.

extension Tokenizer {
  /// The ids of a plain text.
  ///
  /// - Parameters:
  ///   - addSpecialTokens: add what the model expects round a text, such as its beginning token.
  ///   - recognizesControlTokens: whether `<|im_end|>` in the text becomes that token.
  package func encode(
    _ text: String, addSpecialTokens: Bool = true, recognizesControlTokens: Bool = true
  ) -> [Int32] {
    let bytes = Array(text.utf8)
    let allowed = recognizesControlTokens ? [0..<bytes.count] : []
    let ids = encode(bytes, allowed: allowed).ids
    return addSpecialTokens ? prefixIDs + ids + suffixIDs : ids
  }

  /// The ids of rendered text, tokenised as one string, so that words may span segments.
  ///
  /// Control tokens are recognised only where they lie wholly inside text of the template; what
  /// looks like one in a message stays ordinary text.
  package func encode(_ segments: [TextSegment]) -> TokenizedText {
    var bytes: [UInt8] = []
    var allowed: [Range<Int>] = []
    for segment in segments where !segment.text.isEmpty {
      let start = bytes.count
      bytes.append(contentsOf: segment.text.utf8)
      guard segment.origin == .template else { continue }
      if let last = allowed.last, last.upperBound == start {
        allowed[allowed.count - 1] = last.lowerBound..<bytes.count
      } else {
        allowed.append(start..<bytes.count)
      }
    }
    return encode(bytes, allowed: allowed)
  }

  private func encode(_ bytes: [UInt8], allowed: [Range<Int>]) -> TokenizedText {
    if let result = words.withLockIfAvailable({ encode(bytes, allowed, &$0) }) { return result }
    var cache = WordCache()
    return encode(bytes, allowed, &cache)
  }

  private func encode(
    _ bytes: [UInt8], _ allowed: [Range<Int>], _ cache: inout WordCache
  ) -> TokenizedText {
    var result = TokenizedText()
    var position = 0
    for match in rawAddedTokens.matches(in: bytes, 0..<bytes.count, allowed: allowed) {
      encodeText(bytes, position..<match.range.lowerBound, allowed, &cache, into: &result)
      result.append(match.token.id, match.range, isControl: true)
      position = match.range.upperBound
    }
    encodeText(bytes, position..<bytes.count, allowed, &cache, into: &result)
    return result
  }

  /// Encodes a stretch without raw added tokens.
  private func encodeText(
    _ bytes: [UInt8], _ range: Range<Int>, _ allowed: [Range<Int>], _ cache: inout WordCache,
    into result: inout TokenizedText
  ) {
    guard !range.isEmpty else { return }
    guard composes else { return encodeWords(bytes, range, nil, &cache, into: &result) }
    let composed = ComposedText(bytes, range)
    let windows = normalizedAddedTokens.isEmpty ? [] : allowed.map(composed.composedRange)
    var position = 0
    let whole = 0..<composed.bytes.count
    for match in normalizedAddedTokens.matches(in: composed.bytes, whole, allowed: windows) {
      encodeWords(
        composed.bytes, position..<match.range.lowerBound, composed, &cache, into: &result)
      result.append(match.token.id, composed.originalRange(match.range), isControl: true)
      position = match.range.upperBound
    }
    encodeWords(composed.bytes, position..<whole.upperBound, composed, &cache, into: &result)
  }

  private func encodeWords(
    _ bytes: [UInt8], _ range: Range<Int>, _ composed: ComposedText?, _ cache: inout WordCache,
    into result: inout TokenizedText
  ) {
    splitter.forEachStretch(bytes, range) { stretch in
      let needsSpace = splitter.addsPrefixSpace && bytes[stretch.lowerBound] != UInt8(ascii: " ")
      guard needsSpace else {
        splitter.forEachWord(bytes, stretch) { word in
          append(bytes, word, at: word, composed, &cache, into: &result)
        }
        return
      }
      let prefixed = [UInt8(ascii: " ")] + bytes[stretch]
      // The added space has no place in the text; all else lies one byte further on than there.
      let shift = stretch.lowerBound - 1
      splitter.forEachWord(prefixed, 0..<prefixed.count) { word in
        let place =
          max(
            word.lowerBound + shift, stretch.lowerBound)..<max(
            word.upperBound + shift, stretch.lowerBound)
        append(prefixed, word, at: place, composed, &cache, into: &result)
      }
    }
  }

  /// Appends the tokens of one word, which stands at `place` in the text.
  private func append(
    _ bytes: [UInt8], _ word: Range<Int>, at place: Range<Int>, _ composed: ComposedText?,
    _ cache: inout WordCache, into result: inout TokenizedText
  ) {
    let first = result.ids.count
    if let known = cache.find(bytes, word) {
      result.ids.append(contentsOf: known)
    } else {
      if let whole = wholeWords?.value(of: bytes, word) {
        result.ids.append(whole)
      } else {
        merger.merge(bytes, word, into: &result.ids)
      }
      cache.add(bytes, word, result.ids[first...])
    }
    // An added space makes the word longer than its place; the first token bears that.
    var end = place.upperBound - word.count
    for index in first..<result.ids.count {
      let start = end
      // A vocabulary can call tokens of other lengths the bytes of a word.
      end = min(end + byteCount(of: result.ids[index]), place.upperBound)
      // Bytes that the vocabulary lacks have no token; the last one stands for them too.
      if index == result.ids.count - 1 { end = place.upperBound }
      let range = max(start, place.lowerBound)..<max(end, place.lowerBound)
      result.byteRanges.append(composed?.originalRange(range) ?? range)
      result.isControl.append(false)
    }
  }
}
