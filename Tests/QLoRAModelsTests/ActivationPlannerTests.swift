// The planner's choice is the best of all choices, for blocks that differ too.

import QLoRAModels
import TestSupport
import Testing

@Suite struct ActivationPlannerTests {
  private func costs(_ blocks: Int, alike: Bool, seed: UInt64) -> [[BlockCost]] {
    var generator = SeededGenerator(seed: seed)
    func block() -> [BlockCost] {
      var (bytes, operations) = (200, 100.0)
      return ActivationPolicy.allCases.map { policy in
        defer {
          bytes -= 20 + generator.below(40)
          operations += Double(1 + generator.below(50))
        }
        return BlockCost(policy: policy, keptBytes: bytes, operations: operations)
      }
    }
    if alike { return Array(repeating: block(), count: blocks) }
    return (0..<blocks).map { _ in block() }
  }

  private func sum(_ policies: [ActivationPolicy], _ costs: [[BlockCost]]) -> (Int, Double) {
    zip(policies, costs).reduce((0, 0)) { sum, pair in
      guard let cost = pair.1.first(where: { $0.policy == pair.0 }) else { return sum }
      return (sum.0 + cost.keptBytes, sum.1 + cost.operations)
    }
  }

  /// The least operations of all choices within the budget; nil where there is none.
  private func best(_ costs: ArraySlice<[BlockCost]>, _ budget: Int) -> Double? {
    guard let first = costs.first else { return budget >= 0 ? 0 : nil }
    return first.compactMap { cost in
      best(costs.dropFirst(), budget - cost.keptBytes).map { $0 + cost.operations }
    }.min()
  }

  @Test(arguments: [true, false])
  func findsTheLeastWork(alike: Bool) throws {
    for seed in 0..<20 {
      let costs = costs(5, alike: alike, seed: UInt64(seed))
      let least = ActivationPlanner.leastBytes(costs)
      for budget in stride(from: least - 30, through: 1050, by: 35) {
        let policies = ActivationPlanner.choose(costs, budget: budget)
        let expected = best(costs[...], budget)
        #expect(policies.map { sum($0, costs).1 } == expected)
        if let policies { #expect(sum(policies, costs).0 <= budget) }
        #expect((policies == nil) == (budget < least))
      }
    }
  }

  @Test func keepsEverythingWhereThereIsRoom() {
    let policies = ActivationPlanner.choose(costs(3, alike: true, seed: 1), budget: 600)
    #expect(policies == [.everything, .everything, .everything])
  }

  /// A model of 126 blocks, as large ones have.
  @Test func manyBlocksAreNoTrouble() {
    let costs = costs(126, alike: true, seed: 2)
    let policies = ActivationPlanner.choose(costs, budget: 126 * 130)
    #expect(policies?.count == 126)
  }
}
