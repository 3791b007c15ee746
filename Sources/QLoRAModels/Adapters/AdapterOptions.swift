// What kind of low-rank adapter to put where.

/// Which linears get an adapter.
package enum AdapterTargets: Sendable, Hashable {
  /// Every linear of the blocks; not the output head.
  case allLinear
  /// Names or suffixes, as PEFT's list form.
  case names([String])
  /// A regular expression that must match a whole module name, as PEFT's string form.
  case pattern(String)
}

/// Source: Hu et al. 2021, "LoRA", arXiv:2106.09685.
package struct AdapterOptions: Sendable, Hashable {
  package var rank: Int
  package var alpha: Double
  package var dropout: Double
  package var targets: AdapterTargets
  package var seed: UInt64
  /// Ends of names of modules that are trained as a whole beside the adapters, as PEFT's list; of
  /// language models.
  package var modulesToSave: [String] = []

  package init(
    rank: Int = 16, alpha: Double = 32, dropout: Double = 0, targets: AdapterTargets = .allLinear,
    seed: UInt64 = 0
  ) {
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    self.targets = targets
    self.seed = seed
  }
}
