// What is asked of a generation, and what comes of it, as plain values.

import QLoRAModels
import QLoRAText

/// How an answer is made from a prompt that is tokens already.
package struct AnswerOptions: Sendable {
  package init() {}

  package var maxTokens = 256
  package var sampling = SamplingOptions()
  /// Texts that end the answer, which then has none of them.
  package var stop: [String] = []
  /// How many rivals of each token to score; nil: tokens are not scored.
  package var scores: Int?
}

/// How to generate from a text.
package struct GenerationOptions: Sendable {
  package init() {}
  package var prompt = ""
  package var system: String?
  package var usesTemplate = true
  package var answer = AnswerOptions()
}

package struct GenerationReport: Sendable {
  package var text: String
  package var promptTokens: Int
  package var generatedTokens: Int
  package var tokensPerSecond: Double
  package var finishReason: FinishReason
  /// Of each generated token, where asked for.
  package var scores: [ScoredToken]
}

package enum FinishReason: String, Sendable {
  /// At an end token or a stop text.
  case stop
  /// At the limit, or where the model has no more positions.
  case length
  /// Because the asker has gone, or said so.
  case cancelled
}

/// A token of an answer with how likely the model held it and its rivals.
package struct ScoredToken: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var bytes: [UInt8]
    package var logProbability: Double

    package init(bytes: [UInt8], logProbability: Double) {
      self.bytes = bytes
      self.logProbability = logProbability
    }

    /// The beginning or end of a character becomes U+FFFD.
    package var text: String { String(decoding: bytes, as: UTF8.self) }
  }

  package var chosen: Entry
  /// The likeliest tokens, best first.
  package var best: [Entry]

  package init(chosen: Entry, best: [Entry]) {
    self.chosen = chosen
    self.best = best
  }

  init(_ scores: TokenScores, _ tokenizer: Tokenizer) {
    func entry(_ entry: TokenScores.Entry) -> Entry {
      Entry(
        bytes: Array(tokenizer.bytes(of: entry.token)), logProbability: entry.logProbability)
    }
    chosen = entry(scores.chosen)
    best = scores.best.map(entry)
  }
}

/// What one token adds to an answer.
package struct AnswerPiece: Sendable {
  /// Whole characters, perhaps none.
  package var text: String
  /// nil where tokens are not scored, and for the text that is left at the end.
  package var score: ScoredToken?

  package init(text: String, score: ScoredToken? = nil) {
    self.text = text
    self.score = score
  }
}

package struct Answer: Sendable {
  package var text: String
  package var finishReason: FinishReason
  package var generatedTokens: Int
  /// Tokens of the prompt whose keys and values were there already.
  package var reusedTokens: Int

  package init(
    text: String, finishReason: FinishReason, generatedTokens: Int, reusedTokens: Int = 0
  ) {
    self.text = text
    self.finishReason = finishReason
    self.generatedTokens = generatedTokens
    self.reusedTokens = reusedTokens
  }
}
