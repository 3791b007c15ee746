// The heads of an attention, and what they see.

/// Heads of an attention; `heads` is a multiple of `kvHeads`.
package struct AttentionLayout: Sendable, Hashable {
  package var heads: Int
  package var kvHeads: Int
  package var headSize: Int
  /// Multiplies query·key, usually `1 / sqrt(headSize)`.
  package var scale: Float
  /// How many keys a query sees, its own included; 0 = all before it.
  /// Source: Beltagy et al. 2020, "Longformer", arXiv:2004.05150, section 3.1.
  package var window: Int
  /// Scores s become cap·tanh(s / cap); 0 = they stay.
  /// Source: Gemma Team 2024, "Gemma 2", arXiv:2408.00118, section 2.
  package var softCap: Float
  /// Whether a row sees the rows up to itself, or all rows of its sequence, without a window.
  package var isCausal: Bool

  package init(
    heads: Int, kvHeads: Int, headSize: Int, scale: Float, window: Int = 0, softCap: Float = 0,
    isCausal: Bool = true
  ) {
    self.heads = heads
    self.kvHeads = kvHeads
    self.headSize = headSize
    self.scale = scale
    self.window = window
    self.softCap = softCap
    self.isCausal = isCausal
  }
}
