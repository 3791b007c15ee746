// Decides which tokens of a rendered conversation are trained. It sees segments and tokens, never
// templates, and is exact to the byte.
import QLoRAText

/// The trained part of a conversation's tokens.
package struct ChatMask {
  /// Per token, whether it is trained.
  package private(set) var isTrained: [Bool]
  /// The end-of-turn tokens among them.
  package private(set) var endsOfTurns: [Int] = []
  /// The first trained token of the last assistant message.
  package private(set) var lastAnswerStart: Int?

  /// An assistant message and how much of its turn is its own.
  package struct Turn {
    package let message: Int
    /// Set for a turn that calls tools: what the template writes round the calls is the model's
    /// to say, so everything from this byte to the end of the turn is trained.
    package let wholeTurnStart: Int?

    package init(message: Int, wholeTurnStart: Int? = nil) {
      self.message = message
      self.wholeTurnStart = wholeTurnStart
    }
  }

  /// Marks the assistant's content bytes and the end-of-turn token after them: the first control
  /// token that follows. Neither the role header nor the line break after the turn is trained; a
  /// token on the border is, if any of its bytes is.
  ///
  /// - Parameters:
  ///   - turns: the assistant messages in order.
  ///   - isSpecial: tells a control token from one merely added to the vocabulary, such as
  ///     `</tool_call>`, which ends no turn.
  package init(
    _ segments: [TextSegment], _ text: TokenizedText, turns: [Turn], isSpecial: (Int32) -> Bool
  ) {
    isTrained = [Bool](repeating: false, count: text.ids.count)
    let pieces = Self.pieces(segments)
    let controls = text.ids.indices.filter { text.isControl[$0] && isSpecial(text.ids[$0]) }
    // Tokenizers exist whose end-of-turn token is not marked special; take what there is.
    let ends = controls.isEmpty ? text.ids.indices.filter { text.isControl[$0] } : controls
    for turn in turns {
      guard let own = pieces[turn.message], let last = own.last else { continue }
      let end = ends.first { text.byteRanges[$0].lowerBound >= last.upperBound }
      var trained = Self.joined(own, apartAt: ends.map { text.byteRanges[$0] })
      if let start = turn.wholeTurnStart {
        let close = end.map { text.byteRanges[$0].lowerBound } ?? last.upperBound
        trained = [min(start, last.lowerBound)..<close]
      }
      let first = mark(trained, text)
      if let first { lastAnswerStart = first }
      if let end {
        isTrained[end] = true
        endsOfTurns.append(end)
      }
    }
  }

  /// Marks every token with a byte in one of the ranges.
  ///
  /// - Returns: the first token marked.
  private mutating func mark(_ ranges: [Range<Int>], _ text: TokenizedText) -> Int? {
    var first: Int?
    for range in ranges {
      var token = Self.firstToken(endingAfter: range.lowerBound, text)
      while token < text.ids.count, text.byteRanges[token].lowerBound < range.upperBound {
        if text.byteRanges[token].overlaps(range) {
          isTrained[token] = true
          first = min(first ?? token, token)
        }
        token += 1
      }
    }
    return first
  }

  /// Binary search: byte ranges stand in order.
  private static func firstToken(endingAfter byte: Int, _ text: TokenizedText) -> Int {
    var low = 0
    var high = text.ids.count
    while low < high {
      let middle = (low + high) / 2
      if text.byteRanges[middle].upperBound > byte { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// The byte ranges of each message's own text, by message.
  private static func pieces(_ segments: [TextSegment]) -> [Int: [Range<Int>]] {
    var pieces: [Int: [Range<Int>]] = [:]
    var offset = 0
    for segment in segments {
      let end = offset + segment.text.utf8.count
      if case .message(let index) = segment.origin, end > offset {
        pieces[index, default: []].append(offset..<end)
      }
      offset = end
    }
    return pieces
  }

  /// Pieces of one message with only plain template text between them are one stretch, as where a
  /// template puts tags between a message's reasoning and its content.
  private static func joined(
    _ pieces: [Range<Int>], apartAt borders: [Range<Int>]
  ) -> [Range<Int>] {
    var stretches: [Range<Int>] = []
    for piece in pieces {
      if let last = stretches.last,
        !borders.contains(where: {
          $0.lowerBound >= last.upperBound && $0.upperBound <= piece.lowerBound
        })
      {
        stretches[stretches.count - 1] = last.lowerBound..<piece.upperBound
      } else {
        stretches.append(piece)
      }
    }
    return stretches
  }
}
