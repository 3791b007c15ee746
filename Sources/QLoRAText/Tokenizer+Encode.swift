// From text to ids: added tokens first, then normalization, splitting and the model for what is
// left.

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
    // Of most texts a token has about four bytes; growing by copying costs more than the rest.
    result.reserve(bytes.count / 3)
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
    let original = AlignedText(bytes, range)
    let text = normalizer?.apply(original) ?? original
    let windows = normalizedAddedTokens.isEmpty ? [] : allowed.map(text.part)
    let whole = 0..<text.count
    var position = 0
    for match in normalizedAddedTokens.matches(in: text.bytes, whole, allowed: windows) {
      encodeWords(text, position..<match.range.lowerBound, &cache, into: &result)
      result.append(match.token.id, text.original(match.range), isControl: true)
      position = match.range.upperBound
    }
    encodeWords(text, position..<whole.upperBound, &cache, into: &result)
  }

  private func encodeWords(
    _ text: AlignedText, _ range: Range<Int>, _ cache: inout WordCache,
    into result: inout TokenizedText
  ) {
    var words = Words(text, range)
    for (index, step) in preTokenizers.enumerated() {
      step.apply(&words)
      if case .byteLevel = step, index != stepSpelledByModel { words.spellByBytes() }
    }
    if model.mayCutBeforeMarks { words.cutBeforeMarks() }
    var fresh: [WordToken] = []
    for word in words.ranges {
      if model.isWorthCaching, let known = cache.find(words.text.bytes, word) {
        append(cache.tokens, known, word, words.text, into: &result)
        continue
      }
      fresh.removeAll(keepingCapacity: true)
      model.tokenize(words.text.bytes, word, into: &fresh)
      if model.isWorthCaching { cache.add(words.text.bytes, word, fresh) }
      append(fresh, 0..<fresh.count, word, words.text, into: &result)
    }
  }

  /// Appends the tokens of one word.
  private func append(
    _ tokens: [WordToken], _ range: Range<Int>, _ word: Range<Int>, _ text: AlignedText,
    into result: inout TokenizedText
  ) {
    var end = word.lowerBound
    for index in range {
      let start = end
      end = min(end + Int(tokens[index].byteCount), word.upperBound)
      // What the vocabulary lacks may have no token; the last one stands for it too.
      if index == range.upperBound - 1 { end = word.upperBound }
      result.append(tokens[index].id, text.original(start..<end), isControl: false)
    }
  }
}

extension Words {
  /// Cuts before each mark that follows something else.
  fileprivate mutating func cutBeforeMarks() {
    let bytes = text.bytes
    let mark = SentencePieceNormalizer.mark
    cut { word, words in
      var start = word.lowerBound
      var index = start + 1
      while index + 2 < word.upperBound {
        guard bytes[index] == mark[0], bytes[index + 1] == mark[1], bytes[index + 2] == mark[2]
        else {
          index += 1
          continue
        }
        let followsMark =
          index >= start + 3 && bytes[index - 3] == mark[0] && bytes[index - 2] == mark[1]
          && bytes[index - 1] == mark[2]
        if !followsMark {
          words.append(start..<index)
          start = index
        }
        index += 3
      }
      if start < word.upperBound { words.append(start..<word.upperBound) }
    }
  }

  /// Spells every word by the byte alphabet.
  fileprivate mutating func spellByBytes() {
    let bytes = text.bytes
    rebuild { word, builder in
      DecodedScalar.forEach(bytes, word) { _, range in
        for index in range { builder.put(ByteAlphabet.scalars[Int(bytes[index])], for: range) }
      }
    }
  }
}
