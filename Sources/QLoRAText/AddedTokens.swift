// Tokens that are found in text as a whole before it is split: control tokens such as <|im_end|>
// and what a model's authors added to the vocabulary. Not the merged vocabulary.

/// One added token and how it is found.
struct AddedToken: Sendable, Equatable {
  var id: Int32
  var text: String
  /// A control token, which decoding may leave out.
  var isSpecial: Bool
  /// Takes the white space before or after it along.
  var stripsLeft = false
  var stripsRight = false
  /// Not found inside a longer word.
  var isSingleWord = false
  /// Looked for in the normalized text, after all tokens that are not.
  var isNormalized = false
}

/// Finds added tokens: at each place the longest, from left to right.
struct AddedTokenFinder: Sendable {
  private struct Node: Sendable {
    var children: [(byte: UInt8, node: Int32)] = []
    var token: Int32 = -1
  }

  struct Match {
    let token: AddedToken
    let range: Range<Int>
  }

  private let tokens: [AddedToken]
  private var nodes = [Node()]
  private var isFirstByte = [Bool](repeating: false, count: 256)

  init(_ tokens: [AddedToken]) {
    self.tokens = tokens
    for (index, token) in tokens.enumerated() where !token.text.isEmpty {
      insert(Array(token.text.utf8), Int32(index))
    }
  }

  var isEmpty: Bool { tokens.isEmpty }

  private mutating func insert(_ text: [UInt8], _ token: Int32) {
    isFirstByte[Int(text[0])] = true
    var node = 0
    for byte in text {
      if let child = child(of: node, byte) {
        node = child
      } else {
        nodes[node].children.append((byte, Int32(nodes.count)))
        node = nodes.count
        nodes.append(Node())
      }
    }
    nodes[node].token = token
  }

  private func child(of node: Int, _ byte: UInt8) -> Int? {
    nodes[node].children.first { $0.byte == byte }.map { Int($0.node) }
  }

  /// The matches within `range`, in order.
  ///
  /// - Parameter allowed: the ranges, in order and apart, wholly inside one of which a token must
  ///   lie. Only the white space that a token takes along may lie outside.
  func matches(in bytes: [UInt8], _ range: Range<Int>, allowed: [Range<Int>]) -> [Match] {
    guard !tokens.isEmpty else { return [] }
    var found: [Match] = []
    var consumed = range.lowerBound
    for window in allowed {
      let window = window.clamped(to: range)
      var index = window.lowerBound
      while index < window.upperBound {
        guard isFirstByte[Int(bytes[index])],
          let (token, end) = longest(bytes, index, window.upperBound)
        else {
          index += 1
          continue
        }
        if token.isSingleWord, touchesWord(bytes, index, end, range) {
          index = end
          continue
        }
        let match = widen(token, bytes, index..<end, from: consumed, to: range.upperBound)
        found.append(Match(token: token, range: match))
        consumed = match.upperBound
        index = max(end, consumed)
      }
    }
    return found
  }

  private func longest(
    _ bytes: [UInt8], _ start: Int, _ end: Int
  ) -> (token: AddedToken, end: Int)? {
    var best: (token: AddedToken, end: Int)?
    var node = 0
    var index = start
    while index < end, let child = child(of: node, bytes[index]) {
      node = child
      index += 1
      if nodes[node].token >= 0 { best = (tokens[Int(nodes[node].token)], index) }
    }
    return best
  }

  /// Adds the white space that the token takes along.
  private func widen(
    _ token: AddedToken, _ bytes: [UInt8], _ range: Range<Int>, from low: Int, to high: Int
  ) -> Range<Int> {
    var (start, end) = (range.lowerBound, range.upperBound)
    while token.stripsLeft, start > low {
      let before = DecodedScalar(bytes, before: start)
      guard before.scalar.isBlank else { break }
      start -= before.count
    }
    while token.stripsRight, end < high {
      let after = DecodedScalar(bytes, at: end)
      guard after.scalar.isBlank else { break }
      end += after.count
    }
    return max(start, low)..<end
  }

  private func touchesWord(
    _ bytes: [UInt8], _ start: Int, _ end: Int, _ range: Range<Int>
  ) -> Bool {
    if start > range.lowerBound, DecodedScalar(bytes, before: start).scalar.isPatternWord { return true }
    return end < range.upperBound && DecodedScalar(bytes, at: end).scalar.isPatternWord
  }
}
