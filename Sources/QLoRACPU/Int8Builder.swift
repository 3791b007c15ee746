// Quantizes rows to 8 bits, bit for bit as bitsandbytes does, and takes 8-bit weights in and out of
// the layout of files.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

// SAFETY: a row is written by one thread, into a weight that nobody else sees before `finish`;
// pieces are read within their count.
final class Int8Builder: WeightBuilder {
  private let weight: Int8Weight
  private let backend: CPUBackend
  /// The row that `append` is filling, then its codes.
  private let staging: Storage
  private var received = 0

  init(outFeatures: Int, inFeatures: Int, spec: Int8Spec, backend: CPUBackend) {
    weight = Int8Weight(
      outFeatures: outFeatures, inFeatures: inFeatures, spec: spec, backend.int8, zeros)
    self.backend = backend
    staging = backend.storagePool.borrow(Self.scratchFloats(inFeatures) * 4)
  }

  private var count: Int { weight.outFeatures * weight.inFeatures }

  /// A row of floats and one of codes.
  private static func scratchFloats(_ inFeatures: Int) -> Int { inFeatures + (inFeatures + 3) / 4 }

  func append(_ values: UnsafeBufferPointer<Float>) throws {
    guard received + values.count <= count else {
      throw Diagnostic(
        .weightIncomplete, "the weight has more than the \(count) elements of its shape")
    }
    let row = staging.baseAddress.assumingMemoryBound(to: Float.self)
    for value in values {
      let (index, column) = received.quotientAndRemainder(dividingBy: weight.inFeatures)
      row[column] = value
      received += 1
      if column == weight.inFeatures - 1 { try encode(index, row) }
    }
  }

  func fill(_ read: ElementReader) throws {
    precondition(received == 0, "a weight is filled at once or in pieces")
    let width = weight.inFeatures
    let (storage, memory) = backend.scratch(floats: Self.scratchFloats(width))
    let failure = EarliestFailure()
    backend.threadPool.run(weight.outFeatures) { row, worker in
      failure.attempt(row) {
        let values = memory(worker)
        try read(
          row * width..<(row + 1) * width, UnsafeMutableBufferPointer(start: values, count: width))
        try encode(row, values)
      }
    }
    withExtendedLifetime(storage) {}
    try failure.rethrow()
    received = count
  }

  func finish() throws -> any PreparedWeight {
    guard received == count else {
      throw Diagnostic(
        .weightIncomplete,
        "the weight ended after \(received) of the \(count) elements of its shape")
    }
    return weight
  }

  /// Quantizes row `row`; its codes go behind `values [in]` on the way.
  private func encode(_ row: Int, _ values: UnsafeMutablePointer<Float>) throws {
    let width = weight.inFeatures
    let range = row * width..<(row + 1) * width
    guard backend.product.absmax(width, values).isFinite else {
      throw nonFinite(UnsafeBufferPointer(start: values, count: width), from: range)
    }
    let largest = backend.int8.absmax(width, values, 0, nil)
    guard largest.isFinite else {
      throw Diagnostic(
        .weightNotFinite,
        "row \(row) of the weight has values beyond 65,504, the most that 8-bit rows can scale",
        remedy: "skip this module, or quantize to nf4")
    }
    let codes = UnsafeMutableRawPointer(values + width).assumingMemoryBound(to: UInt8.self)
    backend.int8.encode(width, values, Int8Weight.factor(largest), nil, codes)
    weight.insert(row: row, scale: largest) {
      Int8(truncatingIfNeeded: Int(codes[$0]) - Int(QLORA_INT8_BIAS))
    }
  }
}

/// Fresh memory of zeros.
private func zeros(_ byteCount: Int) -> Storage {
  let storage = Storage(byteCount: byteCount)
  storage.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  return storage
}

// SAFETY: rows are written by one thread each, by those who make the weight.
extension Int8Weight {
  /// Stores one row, for the weight's maker alone.
  fileprivate func insert(row: Int, scale: Float, _ code: (_ column: Int) -> Int8) {
    let place = fours(row: row)
    var sum: Int32 = 0
    for column in 0..<inFeatures {
      let code = code(column)
      place[column / 4 * Self.bandRows * 4 + column % 4] = code
      sum &+= Int32(code)
    }
    scales(band: 0)[row] = scale
    corrections(band: 0)[row] = -Int32(QLORA_INT8_BIAS) &* sum
  }
}

// SAFETY: lengths are checked before pointers are taken; items write rows of their own.
extension CPUBackend {
  func check(_ spec: Int8Spec) throws {
    guard spec.threshold >= 0, spec.threshold.isFinite else {
      throw Diagnostic(
        .weightShapeInvalid, "an outlier threshold is 0 or more, not \(spec.threshold)")
    }
  }

  package func prepare(_ matrix: Int8Matrix, _ spec: Int8Spec) throws -> any PreparedWeight {
    try check(spec)
    let (shape, scales) = (matrix.shape, matrix.scales)
    guard shape.rank == 2, shape.count > 0, matrix.codes.dtype == .int8 else {
      throw Diagnostic(
        .weightShapeInvalid, "an 8-bit weight is a matrix of int8, but is \(matrix.codes.dtype) of "
          + "shape \(shape)")
    }
    guard scales.count == shape[0], scales.dtype == .float32 else {
      throw Diagnostic(
        .weightShapeInvalid, "an 8-bit weight of \(shape[0]) rows needs as many float32 scales, "
          + "found \(scales.count) of \(scales.dtype)")
    }
    if let hollowPool { return hollowInt8(shape[0], shape[1], spec, hollowPool) }
    let weight = Int8Weight(
      outFeatures: shape[0], inFeatures: shape[1], spec: spec, int8, zeros)
    let values = scales.pointer(Float.self)
    if let row = (0..<shape[0]).first(where: { !values[$0].isFinite }) {
      throw Diagnostic(.weightNotFinite, "the scale of row \(row) is \(values[row])")
    }
    let codes = matrix.codes.pointer(Int8.self)
    threadPool.run(shape[0]) { row in
      weight.insert(row: row, scale: values[row]) { codes[row * shape[1] + $0] }
    }
    return weight
  }

  package func int8Matrix(_ weight: any PreparedWeight) -> Int8Matrix? {
    guard let weight = weight as? Int8Weight else { return nil }
    let (rows, columns) = (weight.outFeatures, weight.inFeatures)
    let codes = Tensor(uninitialized: [rows, columns], .int8)
    let values = codes.pointer(Int8.self)
    threadPool.run(rows) { row in
      let fours = weight.fours(row: row)
      for column in 0..<columns {
        values[row * columns + column] =
          fours[column / 4 * Int8Weight.bandRows * 4 + column % 4]
      }
    }
    return Int8Matrix(
      codes: codes, scales: Tensor(shape: [rows], dtype: .float32, storage: weight.scales))
  }
}
