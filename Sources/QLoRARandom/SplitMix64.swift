// The one seeded generator of the project: initial values, shuffling, sampling, the made dataset
// and random test cases. Not for secrets, and not for dropout, whose masks the kernels compute.
//
// Its sequences are part of what is promised: a resumed run and the committed dataset come out
// byte for byte the same. Another way to draw is a new method, never a change of one here.

/// SplitMix64: 64 bits of state, one addition and two multiplications a number, the same on every
/// platform.
///
/// Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", §3.
package struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// The sequence that the paper's generator has from this state.
  package init(seed: UInt64) { state = seed }

  /// One of the independent sequences of a seed, such as that of an epoch. It is reached from the
  /// two numbers alone, so that a resumed run has no generator to restore.
  package init(seed: UInt64, stream: UInt64) {
    state = Self.mix(seed &+ Self.increment) ^ Self.mix(stream &* Self.increment &+ 1)
  }

  /// The sequence of a named thing, whatever the order in which the things are made. The name is
  /// hashed by FNV-1a (offset basis and prime are those of its 64-bit form).
  package init(seed: UInt64, name: String) {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    state = (seed &* Self.increment) ^ hash
  }

  package mutating func next() -> UInt64 {
    state &+= Self.increment
    return Self.mix(state)
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

extension SplitMix64 {
  /// Uniform in 0 ..< 1, in steps of 2⁻⁵³.
  package mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// An integer of `0..<bound`: the high half of a 128-bit product, unbiased to 2⁻⁶⁴·bound.
  package mutating func below(_ bound: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  package mutating func pick<Element>(_ choices: [Element]) -> Element {
    choices[below(choices.count)]
  }

  /// The bytes of as many numbers as are needed, each with its lowest byte first.
  package mutating func fill(_ bytes: UnsafeMutableRawBufferPointer) {
    let whole = bytes.count / 8 * 8
    for place in stride(from: 0, to: whole, by: 8) {
      bytes.storeBytes(of: next().littleEndian, toByteOffset: place, as: UInt64.self)
    }
    if whole == bytes.count { return }
    let last = next()
    for place in whole..<bytes.count {
      bytes[place] = UInt8(truncatingIfNeeded: last >> UInt64((place - whole) * 8))
    }
  }

  /// Every order is equally likely. By Fisher and Yates, from the last element down.
  package mutating func shuffle<Element>(_ elements: inout [Element]) {
    for last in stride(from: elements.count - 1, to: 0, by: -1) {
      elements.swapAt(last, below(last + 1))
    }
  }

  /// `0..<count` in random order.
  package mutating func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    shuffle(&order)
    return order
  }
}
