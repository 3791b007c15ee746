// How much a training step may keep of its forward pass, as a user says it.

package enum ActivationBudget: Sendable, Equatable {
  /// Nothing is computed twice.
  case everything
  /// Every block is computed again from its input.
  case least
  /// The same, and what blocks keep waits in the host's memory.
  case outside
  /// As little as possible is computed again within so many bytes.
  case bytes(Int)
}
