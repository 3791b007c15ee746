// Encoding and decoding by the dynamic maps of 8-bit quantization.
import QLoRATensor

// SAFETY: the lookup has an element for every bounded place and the values one for every code;
// `codes` and `destination` have room for `count` elements, which the callers have allocated.
/// A map's table, with the loops over it.
struct DynamicMap: Sendable {
  static let signed = DynamicMap(.signed)
  static let unsigned = DynamicMap(.unsigned)

  let values: [Float]
  private let lookup: [UInt8]

  private init(_ table: DynamicMapTable) {
    values = table.values
    lookup = table.lookup
  }

  /// Writes the codes of one block as bitsandbytes' CPU kernel does: by a table of 65,536 values
  /// between −1 and 1, so that a value near a border may get the code beside the nearest.
  /// - Returns: the block's scale, its largest magnitude. Where that is 0, so are the codes.
  @inline(__always)
  func encode(
    count: Int, into codes: UnsafeMutablePointer<UInt8>, _ value: (Int) -> Float
  ) -> Float {
    var scale: Float = 0
    for index in 0..<count { scale = max(scale, abs(value(index))) }
    let factor = 1 / scale
    lookup.withUnsafeBufferPointer { lookup in
      for index in 0..<count {
        let place = (value(index) * factor + 1) * 0.5 * 65_535 + 0.5
        // The factor of a subnormal scale is infinite, and a product with it may be NaN.
        let bounded = place > 0 ? min(place, 65_535) : 0
        codes[index] = scale == 0 ? 0 : lookup[Int(bounded)]
      }
    }
    return scale
  }

  /// `destination[i] = values[codes[i]] · scale`.
  @inline(__always)
  func decode(
    count: Int, _ codes: UnsafePointer<UInt8>, scale: Float,
    into destination: UnsafeMutablePointer<Float>
  ) {
    values.withUnsafeBufferPointer { values in
      for index in 0..<count { destination[index] = values[Int(codes[index])] * scale }
    }
  }
}
