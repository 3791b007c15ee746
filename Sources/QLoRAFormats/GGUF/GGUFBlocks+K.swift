// The blocks of 256 elements with scales of their own per 16 or 32 elements.
//
// SAFETY: `decode` passes one whole block and room for its 256 elements; every offset below is less
// than `blockBytes` of the type, every index less than 256. Only bytes and unaligned halves are
// loaded.

extension GGUFBlocks {
  /// The 6-bit scale and minimum of group `group` of eight, packed in twelve bytes: four bytes of
  /// scales, four of minima, four of the low nibbles of the last four of each, whose high bits
  /// ride on the first eight bytes.
  @inline(__always)
  private static func scaleAndMinimum(
    _ packed: UnsafeRawPointer, _ group: Int
  ) -> (scale: Float, minimum: Float) {
    if group < 4 {
      return (Float(byte(packed, group) & 63), Float(byte(packed, group + 4) & 63))
    }
    let nibbles = byte(packed, group + 4)
    let scale = nibbles & 15 | byte(packed, group - 4) >> 2 & 0x30
    let minimum = nibbles >> 4 | byte(packed, group) >> 2 & 0x30
    return (Float(scale), Float(minimum))
  }

  /// `x = (d·scale)·q − (dmin·minimum)`: halves d and dmin, 12 bytes of scales, 128 of nibbles.
  /// Each 32 bytes hold two groups: the low nibbles, then the high ones.
  static func fourBitsK(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = half(block, 0)
    let dmin = half(block, 2)
    for group in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(block + 4, group)
      let (step, base) = (d * scale, dmin * minimum)
      let nibbles = block + 16 + group / 2 * 32
      let shift = UInt8(group % 2 * 4)
      for i in 0..<32 {
        x[group * 32 + i] = step * Float(byte(nibbles, i) >> shift & 15) - base
      }
    }
  }

  /// As above with a fifth bit: bit `group` of 32 bytes that stand before the nibbles.
  static func fiveBitsK(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = half(block, 0)
    let dmin = half(block, 2)
    for group in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(block + 4, group)
      let (step, base) = (d * scale, dmin * minimum)
      let nibbles = block + 48 + group / 2 * 32
      let shift = UInt8(group % 2 * 4)
      for i in 0..<32 {
        let high = byte(block, 16 + i) >> UInt8(group) & 1
        let q = byte(nibbles, i) >> shift & 15 | high << 4
        x[group * 32 + i] = step * Float(q) - base
      }
    }
  }

  /// `x = (d·scale)·(q − 32)`: 128 bytes of nibbles, 64 of bit pairs, 16 signed scales, half d.
  /// Each half of the block has four groups of 32: low nibbles of 32 and of 32 more bytes, then
  /// their high nibbles; bit pair `group` of its 32 bytes adds the upper two bits.
  static func sixBitsK(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = half(block, 208)
    for group in 0..<8 {
      let (part, quarter) = (group / 4, group % 4)
      let nibbles = block + part * 64 + quarter % 2 * 32
      let pairs = block + 128 + part * 32
      let (nibbleShift, pairShift) = (UInt8(quarter / 2 * 4), UInt8(quarter * 2))
      for i in 0..<32 {
        let scale = Float(Int8(bitPattern: byte(block, 192 + group * 2 + i / 16)))
        let high = byte(pairs, i) >> pairShift & 3
        let q = byte(nibbles, i) >> nibbleShift & 15 | high << 4
        x[group * 32 + i] = (d * scale) * Float(Int32(q) - 32)
      }
    }
  }
}
