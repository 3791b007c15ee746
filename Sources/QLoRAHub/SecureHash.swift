// SHA-256 and SHA-1 of bytes that come in pieces: what the hub names files by. SHA-1 here finds
// damage of small files that git named so; nothing is trusted because of it.

/// A function that compresses blocks of 64 bytes into words.
protocol BlockHash {
  static var start: [UInt32] { get }
  static var scheduleWords: Int { get }
  /// - Parameters:
  ///   - block: 64 bytes.
  ///   - words: `scheduleWords` words of scratch.
  static func compress(
    _ block: UnsafeRawBufferPointer, _ words: UnsafeMutableBufferPointer<UInt32>,
    _ state: inout [UInt32])
}

struct HashStream<Hash: BlockHash> {
  private var state = Hash.start
  private var pending: [UInt8] = []
  private var byteCount = 0

  mutating func update(_ bytes: UnsafeRawBufferPointer) {
    byteCount += bytes.count
    var rest = bytes[...]
    if !pending.isEmpty {
      let taken = rest.prefix(64 - pending.count)
      pending += taken
      rest = rest.dropFirst(taken.count)
      guard pending.count == 64 else { return }
      let block = pending
      pending = []
      block.withUnsafeBytes { compress($0) }
    }
    let whole = rest.count / 64 * 64
    compress(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)))
    pending += rest.dropFirst(whole)
  }

  mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// Lower-case hexadecimal digits of the digest of all bytes so far.
  func hex() -> String {
    var copy = self
    let bits = UInt64(byteCount) * 8
    let padding = (119 - byteCount % 64) % 64 + 1
    copy.update([0x80] + [UInt8](repeating: 0, count: padding - 1))
    copy.update((0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) })
    return copy.state.map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 8 - digits.count) + digits
    }.joined()
  }

  /// - Parameter blocks: a multiple of 64 bytes.
  private mutating func compress(_ blocks: UnsafeRawBufferPointer) {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: Hash.scheduleWords) { words in
      for start in stride(from: 0, to: blocks.count, by: 64) {
        let block = UnsafeRawBufferPointer(rebasing: blocks[start..<start + 64])
        Hash.compress(block, words, &state)
      }
    }
  }
}

/// - Parameter index: of a word of 32 bits, first byte highest.
private func word(_ block: UnsafeRawBufferPointer, _ index: Int) -> UInt32 {
  UInt32(bigEndian: block.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
}

private func rotated(_ word: UInt32, right count: UInt32) -> UInt32 {
  word &>> count | word &<< (32 &- count)
}

/// Source: NIST, FIPS 180-4 (2015), section 6.2.
enum SHA256: BlockHash {
  static let scheduleWords = 64
  static let start: [UInt32] = [
    0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB,
    0x5BE0_CD19,
  ]
  /// Fractions of the cube roots of the first 64 primes.
  private static let constants: [UInt32] = [
    0x428A_2F98, 0x7137_4491, 0xB5C0_FBCF, 0xE9B5_DBA5, 0x3956_C25B, 0x59F1_11F1, 0x923F_82A4,
    0xAB1C_5ED5, 0xD807_AA98, 0x1283_5B01, 0x2431_85BE, 0x550C_7DC3, 0x72BE_5D74, 0x80DE_B1FE,
    0x9BDC_06A7, 0xC19B_F174, 0xE49B_69C1, 0xEFBE_4786, 0x0FC1_9DC6, 0x240C_A1CC, 0x2DE9_2C6F,
    0x4A74_84AA, 0x5CB0_A9DC, 0x76F9_88DA, 0x983E_5152, 0xA831_C66D, 0xB003_27C8, 0xBF59_7FC7,
    0xC6E0_0BF3, 0xD5A7_9147, 0x06CA_6351, 0x1429_2967, 0x27B7_0A85, 0x2E1B_2138, 0x4D2C_6DFC,
    0x5338_0D13, 0x650A_7354, 0x766A_0ABB, 0x81C2_C92E, 0x9272_2C85, 0xA2BF_E8A1, 0xA81A_664B,
    0xC24B_8B70, 0xC76C_51A3, 0xD192_E819, 0xD699_0624, 0xF40E_3585, 0x106A_A070, 0x19A4_C116,
    0x1E37_6C08, 0x2748_774C, 0x34B0_BCB5, 0x391C_0CB3, 0x4ED8_AA4A, 0x5B9C_CA4F, 0x682E_6FF3,
    0x748F_82EE, 0x78A5_636F, 0x84C8_7814, 0x8CC7_0208, 0x90BE_FFFA, 0xA450_6CEB, 0xBEF9_A3F7,
    0xC671_78F2,
  ]

  static func compress(
    _ block: UnsafeRawBufferPointer, _ words: UnsafeMutableBufferPointer<UInt32>,
    _ state: inout [UInt32]
  ) {
    for index in 0..<16 { words[index] = word(block, index) }
    for index in 16..<64 {
      let (early, late) = (words[index &- 15], words[index &- 2])
      let small = rotated(early, right: 7) ^ rotated(early, right: 18) ^ early &>> 3
      let large = rotated(late, right: 17) ^ rotated(late, right: 19) ^ late &>> 10
      words[index] = words[index &- 16] &+ small &+ words[index &- 7] &+ large
    }
    var (a, b, c, d) = (state[0], state[1], state[2], state[3])
    var (e, f, g, h) = (state[4], state[5], state[6], state[7])
    constants.withUnsafeBufferPointer { constants in
      for index in 0..<64 {
        let sum = rotated(e, right: 6) ^ rotated(e, right: 11) ^ rotated(e, right: 25)
        let first = h &+ sum &+ (e & f ^ ~e & g) &+ constants[index] &+ words[index]
        let other = rotated(a, right: 2) ^ rotated(a, right: 13) ^ rotated(a, right: 22)
        let second = other &+ (a & b ^ a & c ^ b & c)
        (h, g, f, e, d, c, b, a) = (g, f, e, d &+ first, c, b, a, first &+ second)
      }
    }
    for (index, value) in [a, b, c, d, e, f, g, h].enumerated() { state[index] &+= value }
  }
}

/// Source: NIST, FIPS 180-4 (2015), section 6.1.
enum SHA1: BlockHash {
  static let scheduleWords = 80
  static let start: [UInt32] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]

  static func compress(
    _ block: UnsafeRawBufferPointer, _ words: UnsafeMutableBufferPointer<UInt32>,
    _ state: inout [UInt32]
  ) {
    for index in 0..<16 { words[index] = word(block, index) }
    for index in 16..<80 {
      let mixed =
        words[index &- 3] ^ words[index &- 8] ^ words[index &- 14] ^ words[index &- 16]
      words[index] = rotated(mixed, right: 31)
    }
    var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
    for index in 0..<80 {
      let (choice, constant): (UInt32, UInt32) =
        switch index / 20 {
        case 0: (b & c | ~b & d, 0x5A82_7999)
        case 1: (b ^ c ^ d, 0x6ED9_EBA1)
        case 2: (b & c | b & d | c & d, 0x8F1B_BCDC)
        default: (b ^ c ^ d, 0xCA62_C1D6)
        }
      let next = rotated(a, right: 27) &+ choice &+ e &+ constant &+ words[index]
      (e, d, c, b, a) = (d, c, rotated(b, right: 2), a, next)
    }
    for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
  }
}
