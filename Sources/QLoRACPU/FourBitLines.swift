// Between codes in flat order and lines of 16 columns by 8 rows.
import QLoRATensor

/// The memory of a 4-bit weight's lines, with codes going in and coming out by flat index.
// SAFETY: writers on several threads touch disjoint rows or, within a row, whole 16-column lines;
// `FourBitBuilder` and `prepare` see to that.
struct FourBitLines: @unchecked Sendable {
  let outFeatures: Int
  let inFeatures: Int
  let storage: Storage
  private let words: UnsafeMutablePointer<UInt32>

  /// Lines of zeros.
  init(outFeatures: Int, inFeatures: Int) {
    let bytes = FourBitWeight.lineBytes(outFeatures: outFeatures, inFeatures: inFeatures)
    let storage = Storage(byteCount: bytes)
    storage.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    self.init(outFeatures: outFeatures, inFeatures: inFeatures, storage: storage)
  }

  init(outFeatures: Int, inFeatures: Int, storage: Storage) {
    self.outFeatures = outFeatures
    self.inFeatures = inFeatures
    self.storage = storage
    words = storage.baseAddress.assumingMemoryBound(to: UInt32.self)
  }

  private func line(row: Int, column: Int) -> UnsafeMutablePointer<UInt32> {
    words + (row / 8 * ((inFeatures + 15) / 16) + column / 16) * 16 + row % 8
  }

  /// Adds codes, one per byte, of flat elements `first...` to lines that hold zeros there.
  func insert(_ codes: UnsafePointer<UInt8>, count: Int, first: Int) {
    var index = 0
    while index < count {
      let row = (first + index) / inFeatures
      let column = (first + index) % inFeatures
      let end = min(count - index, inFeatures - column, 16 - column % 16)
      let line = line(row: row, column: column)
      if end == 16 {
        insertWhole(codes + index, into: line)
      } else {
        for offset in 0..<end {
          let place = (column + offset) % 16
          line[place % 2 * 8] |= UInt32(codes[index + offset]) << UInt32(place / 2 * 4)
        }
      }
      index += end
    }
  }

  /// The same for a row's sixteen columns of a line: even columns to one word, odd ones to another.
  private func insertWhole(
    _ codes: UnsafePointer<UInt8>, into line: UnsafeMutablePointer<UInt32>
  ) {
    let bytes = UnsafeRawPointer(codes)
    let low = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    let high = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    line[0] |= nibbles(low) | nibbles(high) << 16
    line[8] |= nibbles(low >> 8) | nibbles(high >> 8) << 16
  }

  /// Bytes 0, 2, 4 and 6 as four nibbles.
  private func nibbles(_ bytes: UInt64) -> UInt32 {
    var codes = bytes & 0x00FF_00FF_00FF_00FF
    codes |= codes >> 12
    codes &= 0x0000_00FF_0000_00FF
    return UInt32(truncatingIfNeeded: codes | codes >> 24) & 0xFFFF
  }

  /// The codes of one row, one per byte.
  func extract(row: Int, into codes: UnsafeMutablePointer<UInt8>) {
    for column in 0..<inFeatures {
      let word = line(row: row, column: column)[column % 2 * 8]
      codes[column] = UInt8(truncatingIfNeeded: word >> UInt32(column % 16 / 2 * 4)) & 15
    }
  }
}
