// A 128-bit sum over encoded rows, by which a resumed run knows that its data are the same. It
// guards against mistakes, not against an adversary.
import QLoRADiagnostics

package struct DataFingerprint: Sendable, Hashable, CustomStringConvertible {
  private var low: UInt64 = 0xCBF2_9CE4_8422_2325
  private var high: UInt64 = 0x6C62_272E_07BB_0142

  /// Sums tokens, labels and lengths of the rows in their order.
  package init(_ rows: [EncodedRow]) {
    add(UInt64(rows.count))
    for row in rows { add(row) }
  }

  /// The same sum, of which one row at a time is in memory.
  package init(_ rows: EncodedRows) throws(Diagnostic) {
    add(UInt64(rows.count))
    for index in 0..<rows.count { add(try rows.row(index)) }
  }

  private mutating func add(_ row: EncodedRow) {
    add(UInt64(row.tokens.count))
    if let category = row.category {
      add(UInt64(UInt32(bitPattern: category)) << 32 | UInt64(row.secondStart ?? 0))
    }
    for (token, label) in zip(row.tokens, row.labels) {
      add(UInt64(UInt32(bitPattern: token)) << 32 | UInt64(UInt32(bitPattern: label)))
    }
  }

  /// Thirty-two hexadecimal digits.
  package var description: String {
    [high, low].map { half in
      let digits = String(half, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  /// FNV-1a over words in one half, a rotate-and-multiply of the same words in the other.
  private mutating func add(_ word: UInt64) {
    low = (low ^ word) &* 0x0000_0100_0000_01B3
    low ^= low >> 32
    high = ((high << 31 | high >> 33) &+ word) &* 0x9E37_79B9_7F4A_7C15
    high ^= high >> 29
  }
}
