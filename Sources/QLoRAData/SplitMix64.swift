// The seeded random numbers behind shuffling and splitting: the same on every platform, and
// reached from (seed, stream) alone, so that a resumed run has no generator state to restore.

/// SplitMix64: sixty-four bits of state, one addition and two multiplications a number.
///
/// Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", §3.
package struct SplitMix64: Sendable {
  private var state: UInt64

  /// - Parameter stream: which of the independent sequences of this seed, such as the epoch.
  package init(seed: UInt64, stream: UInt64) {
    state = Self.mix(seed &+ Self.increment) ^ Self.mix(stream &* Self.increment &+ 1)
  }

  package mutating func next() -> UInt64 {
    state &+= Self.increment
    return Self.mix(state)
  }

  /// An integer of `0..<bound`: the high half of a 128-bit product, unbiased to 2⁻⁶⁴·bound.
  package mutating func below(_ bound: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// `0..<count` in random order, by Fisher and Yates.
  package mutating func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    for last in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(last, below(last + 1))
    }
    return order
  }

  // 2⁶⁴ divided by the golden ratio, made odd; the mixer's constants are the paper's.
  private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

  private static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
