// Whether floats are finite, told from their bytes as files have them: nothing is converted.
import QLoRATensor

extension DType {
  /// The index of the first element that is a NaN or an infinity; integers are never.
  ///
  /// - Parameter bytes: of whole elements.
  package func firstNonFinite(in bytes: UnsafeRawBufferPointer) -> Int? {
    switch self {
    case .float64: first(in: bytes, exponent: UInt64(0x7FF) << 52)
    case .float32: first(in: bytes, exponent: UInt32(0xFF) << 23)
    case .float16: first(in: bytes, exponent: UInt16(0x7C00))
    case .bfloat16: first(in: bytes, exponent: UInt16(0x7F80))
    default: nil
    }
  }

  /// The first word in which every bit of the exponent is set, as in no finite number.
  @inline(__always)
  private func first<Word: FixedWidthInteger>(
    in bytes: UnsafeRawBufferPointer, exponent: Word
  ) -> Int? {
    let size = MemoryLayout<Word>.size
    let count = bytes.count / size
    func isBad(_ index: Int) -> Bool {
      bytes.loadUnaligned(fromByteOffset: index * size, as: Word.self) & exponent == exponent
    }
    // A pass without a way out is vectorized, and nearly always all that is needed.
    var bad: Word = 0
    for index in 0..<count { bad |= isBad(index) ? 1 : 0 }
    return bad == 0 ? nil : (0..<count).first(where: isBad)
  }
}
