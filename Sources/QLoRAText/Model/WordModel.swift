// What a tokenizer's model is to the rest of it: it makes tokens of a word.

/// A token of a word: its id and how many bytes of the word it stands for.
struct WordToken: Sendable, Equatable {
  var id: Int32
  var byteCount: Int32
}

/// Cuts words into tokens. A word is a range of valid UTF-8 bytes.
protocol WordModel: Sendable {
  /// Appends the tokens of a word that is not empty.
  ///
  /// What a model has no token for may be left out; a token before or after stands for it.
  func tokenize(_ bytes: [UInt8], _ word: Range<Int>, into tokens: inout [WordToken])

  /// Whether a long text may be cut before each mark (U+2581) that follows something else.
  var mayCutBeforeMarks: Bool { get }
  /// Whether the tokens of a word do not depend on what was asked before; all do, but a model may
  /// be faster than a cache.
  var isWorthCaching: Bool { get }
}

extension WordModel {
  var mayCutBeforeMarks: Bool { false }
  var isWorthCaching: Bool { true }
}
