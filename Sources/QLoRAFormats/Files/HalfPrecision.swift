// Widening of the 16-bit float types, written so that the compiler vectorizes the loops. It rounds
// nothing: every 16-bit value is a float.

/// The float that 16 bits of IEEE binary16 mean.
///
/// Normal numbers move their exponent by 112; subnormals and zero are read as `1.f · 2⁻¹⁴` less
/// `2⁻¹⁴`, which is exact and, unlike a product, does not depend on how the processor treats
/// subnormal floats.
@inline(__always)
package func float(binary16 bits: UInt16) -> Float {
  let magnitude = UInt32(bits & 0x7FFF) << 13
  let sign = UInt32(bits & 0x8000) << 16
  let subnormal = Float(bitPattern: magnitude &+ (113 << 23)) - Float(bitPattern: 113 << 23)
  let normal = magnitude &+ (112 << 23)
  let special = magnitude | 0x7F80_0000
  let exponent = bits & 0x7C00
  let value = exponent == 0 ? subnormal.bitPattern : (exponent == 0x7C00 ? special : normal)
  return Float(bitPattern: value | sign)
}

@inline(__always)
func float(bfloat16 bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

// SAFETY: each function reads `count` elements at `source`, which its caller sized and aligned, and
// writes as many to `destination`.
enum Widening {
  static func binary16(
    _ source: UnsafePointer<UInt16>, _ destination: UnsafeMutablePointer<Float>, count: Int
  ) {
    for index in 0..<count { destination[index] = float(binary16: source[index]) }
  }

  static func bfloat16(
    _ source: UnsafePointer<UInt16>, _ destination: UnsafeMutablePointer<Float>, count: Int
  ) {
    for index in 0..<count { destination[index] = float(bfloat16: source[index]) }
  }

  static func binary64(
    _ source: UnsafePointer<Double>, _ destination: UnsafeMutablePointer<Float>, count: Int
  ) {
    for index in 0..<count { destination[index] = Float(source[index]) }
  }
}
