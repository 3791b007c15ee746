// Decoding of ggml blocks to floats, in the order of operations of the reference library, so that
// every bit is equal. Blocks of 32 are here, those of 256 in GGUFBlocks+K.swift.
//
// SAFETY: `input` holds `count` whole blocks and `output` has room for their elements; the one
// caller, GGUFFile, bounds both. Decoders of single blocks get blocks of that range, whose bytes
// they address by constants below the block's size. Loads are unaligned.

enum GGUFBlocks {
  /// Decodes `count` blocks.
  static func decode(
    _ input: UnsafeRawPointer, _ type: GGUFTensorType, count: Int,
    into output: UnsafeMutablePointer<Float>
  ) {
    switch type {
    case .f32:
      UnsafeMutableRawPointer(output).copyMemory(from: input, byteCount: count * 4)
    case .f16:
      for index in 0..<count { output[index] = half(input, index * 2) }
    case .bf16:
      for index in 0..<count {
        output[index] = float(
          bfloat16: input.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
      }
    case .q8_0: eachBlock(input, type, count, output, eightBits)
    case .q4_0: eachBlock(input, type, count, output, fourBits)
    case .q4_1: eachBlock(input, type, count, output, fourBitsWithMinimum)
    case .q5_0: eachBlock(input, type, count, output, fiveBits)
    case .q5_1: eachBlock(input, type, count, output, fiveBitsWithMinimum)
    case .q4_K: eachBlock(input, type, count, output, fourBitsK)
    case .q5_K: eachBlock(input, type, count, output, fiveBitsK)
    case .q6_K: eachBlock(input, type, count, output, sixBitsK)
    }
  }

  @inline(__always)
  private static func eachBlock(
    _ input: UnsafeRawPointer, _ type: GGUFTensorType, _ count: Int,
    _ output: UnsafeMutablePointer<Float>,
    _ decode: (UnsafeRawPointer, UnsafeMutablePointer<Float>) -> Void
  ) {
    let (bytes, elements) = (type.blockBytes, type.blockElements)
    for block in 0..<count { decode(input + block * bytes, output + block * elements) }
  }

  @inline(__always)
  static func half(_ block: UnsafeRawPointer, _ offset: Int) -> Float {
    float(binary16: block.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inline(__always)
  static func byte(_ block: UnsafeRawPointer, _ offset: Int) -> UInt8 {
    block.load(fromByteOffset: offset, as: UInt8.self)
  }

  /// `x = q·d`: half d, 32 signed bytes.
  @inline(__always)
  private static func eightBits(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = half(block, 0)
    for i in 0..<32 { x[i] = Float(Int8(bitPattern: byte(block, 2 + i))) * d }
  }

  /// `x = d·(q − 8)`: half d, 16 bytes whose low nibbles are the first sixteen elements.
  @inline(__always)
  private static func fourBits(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = half(block, 0)
    for i in 0..<16 {
      let packed = byte(block, 2 + i)
      x[i] = d * Float(Int32(packed & 15) - 8)
      x[i + 16] = d * Float(Int32(packed >> 4) - 8)
    }
  }

  /// `x = d·q + m`: halves d and m, nibbles as above.
  @inline(__always)
  private static func fourBitsWithMinimum(
    _ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>
  ) {
    let d = half(block, 0)
    let m = half(block, 2)
    for i in 0..<16 {
      let packed = byte(block, 4 + i)
      x[i] = d * Float(packed & 15) + m
      x[i + 16] = d * Float(packed >> 4) + m
    }
  }

  /// `x = d·(q − 16)`: half d, a word of 32 fifth bits, nibbles.
  @inline(__always)
  private static func fiveBits(_ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>) {
    let d = half(block, 0)
    let high = block.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    for i in 0..<16 {
      let packed = UInt32(byte(block, 6 + i))
      let low = packed & 15 | (high >> UInt32(i) & 1) << 4
      let next = packed >> 4 | (high >> UInt32(i + 16) & 1) << 4
      x[i] = d * Float(Int32(low) - 16)
      x[i + 16] = d * Float(Int32(next) - 16)
    }
  }

  /// `x = d·q + m`: halves d and m, a word of 32 fifth bits, nibbles.
  @inline(__always)
  private static func fiveBitsWithMinimum(
    _ block: UnsafeRawPointer, _ x: UnsafeMutablePointer<Float>
  ) {
    let d = half(block, 0)
    let m = half(block, 2)
    let high = block.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    for i in 0..<16 {
      let packed = UInt32(byte(block, 8 + i))
      x[i] = d * Float(packed & 15 | (high >> UInt32(i) & 1) << 4) + m
      x[i + 16] = d * Float(packed >> 4 | (high >> UInt32(i + 16) & 1) << 4) + m
    }
  }
}
