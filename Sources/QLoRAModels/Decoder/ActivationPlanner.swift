// Which block keeps what, so that all together stay within a number of bytes at the least work.

/// What one policy costs one block.
package struct BlockCost: Sendable, Equatable {
  package var policy: ActivationPolicy
  /// Kept from forward until the block's backward, its output included.
  package var keptBytes: Int
  /// Floating-point operations of the block's forward and backward.
  package var operations: Double

  package init(policy: ActivationPolicy, keptBytes: Int, operations: Double) {
    self.policy = policy
    self.keptBytes = keptBytes
    self.operations = operations
  }
}

package enum ActivationPlanner {
  /// A choice for the first blocks that no other choice for them beats in both numbers.
  private struct Choice {
    var bytes = 0
    var operations = 0.0
    /// Index into `links`: the last block's policy and the choice before it.
    var last = -1
  }

  /// The exact least: block by block, all choices are kept that are not beaten. Alike blocks make
  /// few of them, because only how many blocks have a policy tells choices apart.
  ///
  /// - Parameter blocks: per block, what each policy costs.
  /// - Returns: a policy per block; nil where nothing fits into `budget` bytes.
  package static func choose(_ blocks: [[BlockCost]], budget: Int) -> [ActivationPolicy]? {
    // What the blocks still to come need at least, so that hopeless choices go early.
    var rest = blocks.reduce(0) { $0 + leastBytes($1) }
    var links: [(policy: ActivationPolicy, before: Int)] = []
    var choices = [Choice()]
    for costs in blocks {
      rest -= leastBytes(costs)
      var next: [Choice] = []
      for choice in choices {
        for cost in costs where choice.bytes + cost.keptBytes + rest <= budget {
          links.append((cost.policy, choice.last))
          next.append(
            Choice(
              bytes: choice.bytes + cost.keptBytes,
              operations: choice.operations + cost.operations, last: links.count - 1))
        }
      }
      choices = unbeaten(next)
    }
    guard let best = choices.min(by: { $0.operations < $1.operations }) else { return nil }
    var policies: [ActivationPolicy] = []
    var place = best.last
    while place >= 0 {
      policies.append(links[place].policy)
      place = links[place].before
    }
    return policies.reversed()
  }

  /// The fewest bytes that any choice keeps.
  package static func leastBytes(_ blocks: [[BlockCost]]) -> Int {
    blocks.reduce(0) { $0 + leastBytes($1) }
  }

  private static func leastBytes(_ costs: [BlockCost]) -> Int {
    costs.map(\.keptBytes).min() ?? 0
  }

  private static func unbeaten(_ choices: [Choice]) -> [Choice] {
    let sorted = choices.sorted { ($0.bytes, $0.operations) < ($1.bytes, $1.operations) }
    var least = Double.infinity
    return sorted.filter { choice in
      defer { least = min(least, choice.operations) }
      return choice.operations < least
    }
  }
}
