// What a decoder block keeps of its forward pass until backward; the rest is computed again.

/// In order of less memory and more work.
package enum ActivationPolicy: String, Sendable, CaseIterable {
  /// All that gradients need. Nothing is multiplied twice.
  case everything
  /// All but the MLP's gate and up projections, the widest values of a block.
  case attention
  /// The residual stream before each half of the block; `q_proj`, `k_proj`, `v_proj`, attention,
  /// `gate_proj` and `up_proj` run again.
  case residuals
  /// The block's input alone; all but `down_proj` runs again.
  case input
  /// The same, and the input waits in the host's memory, where the device has memory of its own.
  case outside

  /// Those that a budget is met by: how much a device's own memory keeps.
  package static let kept = allCases.filter { $0 != .outside }

  /// Whether all of the block runs again.
  package var keepsInputAlone: Bool { self == .input || self == .outside }
}
