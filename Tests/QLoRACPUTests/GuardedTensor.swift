// Tensors between guard bytes, and comparisons, for the tests of row and attention kernels.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

/// Memory with a known pattern before and after one tensor, which lies off any vector's alignment.
struct GuardedTensor {
  private static let margin = 192
  private static let pattern: UInt8 = 0xA5

  let tensor: Tensor

  init(_ shape: Shape, _ dtype: DType = .float32) {
    let bytes = shape.count * dtype.byteSize
    let storage = Storage(byteCount: bytes + 2 * Self.margin)
    storage.baseAddress.initializeMemory(
      as: UInt8.self, repeating: Self.pattern, count: storage.byteCount)
    tensor = Tensor(
      shape: shape, dtype: dtype, storage: storage, byteOffset: Self.margin + dtype.byteSize)
  }

  init(_ values: [Float], _ shape: Shape, _ dtype: DType = .float32) {
    self.init(shape, dtype)
    tensor.fill(values)
  }

  var isIntact: Bool {
    let bytes = UnsafeRawBufferPointer(
      start: tensor.storage.baseAddress, count: tensor.storage.byteCount)
    let end = tensor.byteOffset + tensor.byteCount
    return bytes[..<tensor.byteOffset].allSatisfy { $0 == Self.pattern }
      && bytes[end...].allSatisfy { $0 == Self.pattern }
  }
}

extension Tensor {
  init(_ values: [Float], _ shape: Shape, _ dtype: DType) {
    self.init(uninitialized: shape, dtype)
    fill(values)
  }

  /// Sets all elements, rounding to this tensor's type.
  func fill(_ values: [Float]) {
    precondition(values.count == count)
    switch dtype {
    case .float32: withMutableElements(Float.self) { _ = $0.update(fromContentsOf: values) }
    case .bfloat16:
      withMutableElements(UInt16.self) { _ = $0.update(fromContentsOf: values.map(\.bfloat16Bits)) }
    case .float16:
      withMutableElements(UInt16.self) {
        _ = $0.update(fromContentsOf: values.map { Float16($0).bitPattern })
      }
    default: preconditionFailure("fill of \(dtype)")
    }
  }

  var bytes: [UInt8] { withBytes { Array($0) } }
}

/// The largest |difference| over the largest |expected| (at least `floor`).
func relativeError(_ found: [Float], _ expected: [Double], floor: Double = 1e-30) -> Double {
  precondition(found.count == expected.count)
  let scale = max(floor, expected.reduce(0) { max($0, abs($1)) })
  var worst = 0.0
  for (left, right) in zip(found, expected) {
    if !left.isFinite { return .infinity }
    worst = max(worst, abs(Double(left) - right))
  }
  return worst / scale
}

/// The rounding of 8 significant bits, with a little of float32's on top.
let bfloat16Rounding = 0x1.02p-8

func backend(_ instructionSet: String, threads: Int = 2) throws -> CPUBackend {
  try CPUBackend(threads: threads, instructionSet: instructionSet)
}
