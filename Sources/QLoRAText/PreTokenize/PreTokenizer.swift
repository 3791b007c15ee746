// The pre-tokenizers of tokenizer.json: they cut a normalized text into the words that tokens never
// cross.
// Source: the documentation of PyPI `tokenizers`, whose words these are.

import QLoRARegex

enum PreTokenizer: Sendable, Equatable {
  case split(TextPattern, SplitBehavior, isInverted: Bool)
  case digits(oneByOne: Bool)
  /// Runs of word characters, and of others that are no blanks.
  case whitespace
  case whitespaceSplit
  case punctuation(SplitBehavior)
  case bert
  case delimiter(Unicode.Scalar)
  case fixedLength(Int)
  case unicodeScripts
  case metaspace(Metaspace)
  /// GPT-2's: a space before each word if asked for, GPT-2's pattern if asked for. That words are
  /// then spelled by the byte alphabet is the business of who applies the steps.
  case byteLevel(addsPrefixSpace: Bool, splits: Bool)

  func apply(_ words: inout Words) {
    let bytes = words.text.bytes
    switch self {
    case .split(.known(let pattern), .isolated, _) where pattern.coversAll:
      words.cut { word, new in pattern.forEachWord(bytes, word) { new.append($0) } }
    case .split(.expression(let expression), let behavior, let isInverted):
      let scan = PatternScan(expression)
      words.split(behavior, isInverted: isInverted) { word, found in
        // Where a match takes too long, the rest of the word has none.
        _ = scan.forEachMatch(in: bytes, word, found)
      }
    case .split(let pattern, let behavior, let isInverted):
      words.split(behavior, isInverted: isInverted) { word, found in
        pattern.forEachMatch(in: bytes, word, found)
      }
    case .digits(let oneByOne):
      words.split(oneByOne ? .isolated : .contiguous) { $0.isSplitDigit }
    case .whitespace: words.cut { WordRuns.append(bytes, $0, into: &$1) }
    case .whitespaceSplit: words.cut { BlankRuns.append(bytes, $0, alone: false, into: &$1) }
    case .punctuation(let behavior): words.split(behavior) { $0.isReferencePunctuation }
    case .bert: words.cut { BlankRuns.append(bytes, $0, alone: true, into: &$1) }
    case .delimiter(let scalar): words.split(.removed) { $0 == scalar }
    case .fixedLength(let length): words.cut { Self.chunk(bytes, $0, length, into: &$1) }
    case .unicodeScripts: words.cut { ScriptRuns.append(bytes, $0, into: &$1) }
    case .metaspace(let rules): rules.apply(&words)
    case .byteLevel(let addsPrefixSpace, let splits):
      if addsPrefixSpace { Self.addSpaces(&words) }
      if splits { PreTokenizer.split(.known(.gpt2), .isolated, isInverted: false).apply(&words) }
    }
  }

  /// Pieces of so many characters.
  private static func chunk(
    _ bytes: [UInt8], _ word: Range<Int>, _ length: Int, into words: inout [Range<Int>]
  ) {
    var (start, count) = (word.lowerBound, 0)
    DecodedScalar.forEach(bytes, word) { _, range in
      count += 1
      guard count == length else { return }
      words.append(start..<range.upperBound)
      (start, count) = (range.upperBound, 0)
    }
    if start < word.upperBound { words.append(start..<word.upperBound) }
  }

  private static func addSpaces(_ words: inout Words) {
    let bytes = words.text.bytes
    guard words.ranges.contains(where: { bytes[$0.lowerBound] != 0x20 }) else { return }
    words.rebuild { word, builder in
      if bytes[word.lowerBound] != 0x20 {
        builder.put(CollectionOfOne(0x20), for: word.lowerBound..<word.lowerBound)
      }
      builder.keep(word)
    }
  }
}

/// Marks in place of spaces, as SentencePiece writes them.
struct Metaspace: Sendable, Equatable {
  enum Prefix: String, Sendable, Equatable { case always, first, never }

  var mark: [UInt8] = SentencePieceNormalizer.mark
  /// Which words get a mark in front: all, the one that begins the text, none.
  var prefix: Prefix = .always
  /// Each mark begins a word.
  var splits = true

  func apply(_ words: inout Words) {
    let text = words.text
    words.rebuild { word, builder in
      let starts = text.bytes[word].starts(with: mark) || text.bytes[word.lowerBound] == 0x20
      let isFirst = prefix == .always || (prefix == .first && text.original(word).lowerBound == 0)
      if isFirst, !starts { builder.put(mark, for: word.lowerBound..<word.lowerBound) }
      var kept = word.lowerBound
      for index in word where text.bytes[index] == 0x20 {
        builder.keep(kept..<index)
        builder.put(mark, for: index..<index + 1)
        kept = index + 1
      }
      builder.keep(kept..<word.upperBound)
    }
    guard splits else { return }
    PreTokenizer.split(.literal(mark), .mergedWithNext, isInverted: false).apply(&words)
  }
}
