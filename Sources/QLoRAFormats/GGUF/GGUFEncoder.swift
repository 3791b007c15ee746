// Floats as the types that GGUF files are written in: plain numbers of 32 and 16 bits, and blocks
// of eight. Decoding is in GGUFBlocks.swift.
import QLoRADiagnostics

/// Encodes whole blocks of one type, reusing its memory.
package struct GGUFEncoder {
  /// The types that can be written.
  package static let types: [GGUFTensorType] = [.f32, .f16, .bf16, .q8_0]

  package let type: GGUFTensorType
  private var bytes: [UInt8] = []

  package init(_ type: GGUFTensorType) { self.type = type }

  /// Gives the bytes of `floats`, a multiple of the type's blocks.
  ///
  /// - Throws: `ggufNumber` for a NaN, an infinity, and what the type cannot hold.
  package mutating func encode(
    _ floats: UnsafeBufferPointer<Float>, _ consume: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    try check(floats)
    if type == .f32 { return try consume(UnsafeRawBufferPointer(floats)) }
    let blocks = floats.count / type.blockElements
    bytes = [UInt8](repeating: 0, count: blocks * type.blockBytes)
    let type = type
    bytes.withUnsafeMutableBytes { output in
      switch type {
      case .f16:
        for index in floats.indices {
          Self.store(Float16(floats[index]).bitPattern, output, index * 2)
        }
      case .bf16:
        for index in floats.indices {
          Self.store(floats[index].bfloat16Bits, output, index * 2)
        }
      default:
        for block in 0..<blocks { Self.eightBits(floats, block, output) }
      }
    }
    try bytes.withUnsafeBytes(consume)
  }

  @inline(__always)
  private static func store(
    _ bits: UInt16, _ output: UnsafeMutableRawBufferPointer, _ offset: Int
  ) {
    output.storeBytes(of: bits.littleEndian, toByteOffset: offset, as: UInt16.self)
  }

  /// The largest magnitude that is rounded to a number of the type.
  private var limit: Float {
    // Half of the step beyond the largest number is where rounding leads to infinity.
    let half = Float(Float16.greatestFiniteMagnitude) + 15.99
    switch type {
    case .f16: return half
    case .bf16: return Float(bitPattern: 0x7F7F_7FFF)
    case .q8_0: return half * 127
    default: return .greatestFiniteMagnitude
    }
  }

  private func check(_ floats: UnsafeBufferPointer<Float>) throws {
    let limit = limit
    // A comparison with NaN is false.
    guard let bad = floats.first(where: { !($0.magnitude <= limit) }) else { return }
    throw Diagnostic(
      .ggufNumber,
      bad.isFinite ? "\(bad) is beyond what \(type.name) can hold" : "an element is \(bad)",
      remedy: bad.isFinite ? "choose --dtype bf16 or f32" : "fetch the model again")
  }

  /// One block of 32: half `d = max|x| / 127`, then `q = x · (1/d)` rounded, halves away from zero.
  ///
  /// Source: ggml, `quantize_row_q8_0_ref`; its order of operations, so that every byte is equal.
  @inline(__always)
  private static func eightBits(
    _ floats: UnsafeBufferPointer<Float>, _ block: Int, _ output: UnsafeMutableRawBufferPointer
  ) {
    let size = GGUFTensorType.q8_0.blockElements
    var largest: Float = 0
    for index in block * size..<(block + 1) * size {
      largest = max(largest, floats[index].magnitude)
    }
    let step = largest / 127
    var inverse = step == 0 ? 0 : 1 / step
    // Steps this small are zero as halves.
    if !inverse.isFinite { inverse = 0 }
    let start = block * GGUFTensorType.q8_0.blockBytes
    output.storeBytes(
      of: Float16(step).bitPattern.littleEndian, toByteOffset: start, as: UInt16.self)
    for index in 0..<size {
      let scaled = floats[block * size + index] * inverse
      let whole = Int32(scaled)
      let rest = scaled - Float(whole)
      let code = whole + (rest >= 0.5 ? 1 : rest <= -0.5 ? -1 : 0)
      output[start + 2 + index] = UInt8(bitPattern: Int8(truncatingIfNeeded: code))
    }
  }
}
