// How the next token is chosen from its logits, as plain values.

/// Everything off and greedy unless said otherwise. The filters apply in the order of the members,
/// each to what the one before has left, which is the order of transformers.
package struct SamplingOptions: Sendable, Equatable {
  package init() {}

  /// Logits of tokens seen in prompt or answer are divided by this where they are positive and
  /// multiplied where not; 1 = off. Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1.
  package var repetitionPenalty = 1.0
  /// Taken off a token's logit for each time that the answer has it already.
  package var frequencyPenalty = 0.0
  /// Taken off once for every token that the answer has already.
  package var presencePenalty = 0.0
  /// Divides the logits; 0 = always the likeliest token.
  package var temperature = 0.0
  /// Keeps so many of the likeliest tokens, and those equal to the last of them; 0 = all.
  package var topK = 0
  /// Keeps the fewest most likely tokens whose probabilities add up to this.
  /// Source: Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
  package var topP = 1.0
  /// Keeps tokens at least this times as likely as the likeliest.
  /// Source: Nguyen et al. 2024, arXiv:2407.01082, section 3.
  package var minP = 0.0
  package var seed: UInt64 = 0
}
