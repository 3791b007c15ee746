// The checksum of TFRecord files. It guards against accidents, as their readers ask for it.

/// CRC-32C (Castagnoli), reflected, as iSCSI has it.
///
/// Source: RFC 3720, appendix B.4 (known answers).
package enum CRC32C {
  private static let polynomial: UInt32 = 0x82F6_3B78

  private static let table: [UInt32] = (0..<256).map { (byte: UInt32) in
    (0..<8).reduce(byte) { remainder, _ in
      remainder & 1 == 1 ? remainder >> 1 ^ polynomial : remainder >> 1
    }
  }

  package static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var remainder = UInt32.max
    for byte in bytes {
      remainder = remainder >> 8 ^ table[Int(UInt8(truncatingIfNeeded: remainder) ^ byte)]
    }
    return ~remainder
  }

  /// Turned and shifted, so that a checksum of data with checksums in them stays a good one.
  ///
  /// Source: TensorFlow, "TFRecord and tf.train.Example", section "TFRecords format details".
  package static func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let plain = checksum(bytes)
    return (plain >> 15 | plain << 17) &+ 0xA282_EAD8
  }
}
