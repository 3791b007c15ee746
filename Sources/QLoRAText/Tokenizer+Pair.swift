// A text or two as models that read whole texts are given them.

/// What a tokenizer puts round two texts.
struct PairIDs: Sendable {
  var before: [Int32]
  var between: [Int32]
  var after: [Int32]
}

/// One text or two as tokens.
package struct EncodedTexts: Sendable {
  package var ids: [Int32]
  /// Where the second text begins; nil where there is one.
  package var secondStart: Int?
  /// Whether tokens were left out.
  package var isCut: Bool
}

extension Tokenizer {
  /// The ids of one text or two with what belongs round them, in at most `limit` tokens: of a pair
  /// the longer text is cut first.
  package func encode(_ first: String, _ second: String?, limit: Int) -> EncodedTexts {
    func ids(_ text: String) -> [Int32] {
      encode(text, addSpecialTokens: false, recognizesControlTokens: false)
    }
    let a = ids(first)
    guard let second else {
      let room = max(0, limit - prefixIDs.count - suffixIDs.count)
      return EncodedTexts(
        ids: prefixIDs + a.prefix(room) + suffixIDs, secondStart: nil, isCut: a.count > room)
    }
    let round = pair ?? PairIDs(before: prefixIDs, between: [], after: suffixIDs)
    let b = ids(second)
    let room = max(0, limit - round.before.count - round.between.count - round.after.count)
    let (left, right) = Self.shares(a.count, b.count, room)
    let start = round.before + a.prefix(left) + round.between
    return EncodedTexts(
      ids: start + b.prefix(right) + round.after, secondStart: start.count,
      isCut: a.count + b.count > room)
  }

  /// How much of two texts stays in `room` tokens: as the reference implementation's strategy
  /// `longest_first` has it.
  private static func shares(_ first: Int, _ second: Int, _ room: Int) -> (Int, Int) {
    guard first + second > room else { return (first, second) }
    let short = min(first, second)
    var (less, more) = (short, max(short, room - short))
    if short > room { more = short }
    if less + more > room { (less, more) = (room / 2, room - room / 2) }
    return first <= second ? (less, more) : (more, less)
  }
}
