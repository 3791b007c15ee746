// Between codes in flat order and lines of 16 columns by 8 rows.
import CQLoRAKernels
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
  func insert(
    _ codes: UnsafePointer<UInt8>, count: Int, first: Int, _ kernels: qlora_product_kernels
  ) {
    var index = 0
    while index < count {
      let (row, column) = (first + index).quotientAndRemainder(dividingBy: inFeatures)
      let line = line(row: row, column: column)
      let inRow = min(count - index, inFeatures - column)
      if column % 16 == 0, inRow >= 16 {
        kernels.insert_codes(inRow / 16, codes + index, line)
        index += inRow / 16 * 16
        continue
      }
      let end = min(inRow, 16 - column % 16)
      for offset in 0..<end {
        let place = (column + offset) % 16
        line[place % 2 * 8] |= UInt32(codes[index + offset]) << UInt32(place / 2 * 4)
      }
      index += end
    }
  }

  /// Whether rows are whole lines, so that `insert(packed:row:)` and `extract(row:packed:)` serve.
  var hasWholeRows: Bool { inFeatures % 16 == 0 }

  /// Adds a row's codes as files pack them, two per byte, the first in the high half, to lines that
  /// hold zeros there.
  func insert(packed: UnsafePointer<UInt8>, row: Int) {
    let bytes = UnsafeRawPointer(packed)
    for column in stride(from: 0, to: inFeatures, by: 16) {
      let pairs = UInt64(
        littleEndian: bytes.loadUnaligned(fromByteOffset: column / 2, as: UInt64.self))
      let line = line(row: row, column: column)
      line[0] |= Self.gathered(pairs >> 4)
      line[8] |= Self.gathered(pairs)
    }
  }

  /// The inverse.
  func extract(row: Int, packed: UnsafeMutablePointer<UInt8>) {
    let bytes = UnsafeMutableRawPointer(packed)
    for column in stride(from: 0, to: inFeatures, by: 16) {
      let line = line(row: row, column: column)
      let pairs = Self.spread(line[0]) << 4 | Self.spread(line[8])
      bytes.storeBytes(of: pairs.littleEndian, toByteOffset: column / 2, as: UInt64.self)
    }
  }

  /// The low half of each byte, one after the other.
  private static func gathered(_ pairs: UInt64) -> UInt32 {
    var codes = pairs & 0x0F0F_0F0F_0F0F_0F0F
    codes = (codes | codes >> 4) & 0x00FF_00FF_00FF_00FF
    codes = (codes | codes >> 8) & 0x0000_FFFF_0000_FFFF
    return UInt32(truncatingIfNeeded: codes | codes >> 16)
  }

  /// The inverse.
  private static func spread(_ word: UInt32) -> UInt64 {
    var codes = UInt64(word)
    codes = (codes | codes << 16) & 0x0000_FFFF_0000_FFFF
    codes = (codes | codes << 8) & 0x00FF_00FF_00FF_00FF
    return (codes | codes << 4) & 0x0F0F_0F0F_0F0F_0F0F
  }

  /// The codes of one row, one per byte.
  func extract(row: Int, into codes: UnsafeMutablePointer<UInt8>) {
    for column in 0..<inFeatures {
      let word = line(row: row, column: column)[column % 2 * 8]
      codes[column] = UInt8(truncatingIfNeeded: word >> UInt32(column % 16 / 2 * 4)) & 15
    }
  }
}
