// The second level of double quantization: absmax values to 8 bits, bit for bit as bitsandbytes on
// a CPU with one thread.
import CQLoRAKernels
import QLoRATensor

// SAFETY: indices stay below `count`, which the caller has allocated.
/// Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, section 3, "Double Quantization".
enum NestedQuantizer {
  static func quantize(_ absmax: UnsafePointer<Float>, _ count: Int) -> FourBitScales {
    let blockSize = QuantizationSpec.nestedBlockSize
    let offset = mean(absmax, count)
    let codes = Storage(byteCount: count)
    let code = codes.baseAddress.assumingMemoryBound(to: UInt8.self)
    let nested = Storage(byteCount: (count + blockSize - 1) / blockSize * 4)
    let scales = nested.baseAddress.assumingMemoryBound(to: Float.self)
    for first in stride(from: 0, to: count, by: blockSize) {
      let length = min(blockSize, count - first)
      scales[first / blockSize] = DynamicMap.signed.encode(count: length, into: code + first) {
        absmax[first + $0] - offset
      }
    }
    return FourBitScales(absmax: nested, codes: codes, map: storage(DynamicMap.signed.values),
                         offset: offset)
  }

  static func storage(_ values: [Float]) -> Storage {
    let storage = Storage(byteCount: values.count * 4)
    storage.baseAddress.assumingMemoryBound(to: Float.self).initialize(
      from: values, count: values.count)
    return storage
  }

  /// The mean in the summation order of PyTorch on one thread, which the stored offset depends on:
  /// vectors of 8, four of them interleaved, in a cascade of four levels.
  static func mean(_ values: UnsafePointer<Float>, _ count: Int) -> Float {
    typealias Vector = SIMD8<Float>
    func vector(_ index: Int) -> Vector {
      UnsafeRawPointer(values + index * 8).loadUnaligned(as: Vector.self)
    }
    let vectors = count / 8
    let rows = vectors / 4
    var sums = cascade(rows: rows) { vector($0 * 4 + $1) }
    for index in rows * 4..<vectors { sums[0] += vector(index) }
    for lane in 1..<4 { sums[0] += sums[lane] }
    var total: Float = 0
    for index in vectors * 8..<count { total += values[index] }
    for lane in 0..<8 { total += sums[0][lane] }
    return total / Float(count)
  }

  /// Four interleaved sums over `rows` rows; after every `step` rows a level spills to the next.
  private static func cascade(
    rows: Int, _ load: (_ row: Int, _ lane: Int) -> SIMD8<Float>
  ) -> [SIMD8<Float>] {
    let levels = 4
    let log = rows <= 1 ? 0 : Int.bitWidth - (rows - 1).leadingZeroBitCount
    let power = max(4, log / levels)
    let step = 1 << power
    var sums = [[SIMD8<Float>]](
      repeating: [SIMD8<Float>](repeating: .zero, count: 4), count: levels)
    var row = 0
    while row + step <= rows {
      for _ in 0..<step {
        for lane in 0..<4 { sums[0][lane] += load(row, lane) }
        row += 1
      }
      for level in 1..<levels {
        for lane in 0..<4 {
          sums[level][lane] += sums[level - 1][lane]
          sums[level - 1][lane] = .zero
        }
        if row & ((step - 1) << (level * power)) != 0 { break }
      }
    }
    while row < rows {
      for lane in 0..<4 { sums[0][lane] += load(row, lane) }
      row += 1
    }
    for level in 1..<levels {
      for lane in 0..<4 { sums[0][lane] += sums[level][lane] }
    }
    return sums[0]
  }
}
