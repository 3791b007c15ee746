// Weights onto the device and back. The host's backend quantizes, so both have the same bytes.
import QLoRADiagnostics
import QLoRATensor

// SAFETY: bytes are copied within the closures that lend them, as many as the tensors have.
extension CUDABackend {
  package func makeWeightBuilder(
    outFeatures: Int, inFeatures: Int, _ storage: WeightStorage
  ) throws -> any WeightBuilder {
    let builder = try host.makeWeightBuilder(
      outFeatures: outFeatures, inFeatures: inFeatures, storage)
    if device.isHollow {
      return HollowBuilder(hollowWeight(outFeatures, inFeatures, storage))
    }
    return UploadingBuilder(builder, storage, self)
  }

  /// A weight that holds nothing, as large as a real one.
  private func hollowWeight(
    _ outFeatures: Int, _ inFeatures: Int, _ storage: WeightStorage
  ) -> CUDAWeight {
    func tensor(_ shape: Shape, _ dtype: DType) -> Tensor { self.tensor(shape, dtype, stock) }
    let shape: Shape = [outFeatures, inFeatures]
    let content: CUDAWeight.Content
    switch storage {
    case .dense(let dtype): content = .dense(tensor(shape, dtype))
    case .int8(let spec):
      let matrix = Int8Matrix(
        codes: tensor(shape, .int8), scales: tensor([outFeatures], .float32))
      content = .int8(matrix, spec)
    case .fourBit(let spec):
      let blocks = (shape.count + spec.blockSize - 1) / spec.blockSize
      let nested = QuantizationSpec.nestedBlockSize
      let scales =
        spec.doubleQuantized
        ? BlockScales.nested(
          NestedAbsmax(
            codes: tensor([blocks], .uint8),
            absmax: tensor([(blocks + nested - 1) / nested], .float32),
            map: tensor([256], .float32), offset: 0)) : .plain(tensor([blocks], .float32))
      content = .fourBit(
        QuantizedMatrix(
          shape: shape, spec: spec, packed: tensor([(shape.count + 1) / 2], .uint8),
          scales: scales, sourceDType: .float32))
    }
    return CUDAWeight(outFeatures: outFeatures, inFeatures: inFeatures, content)
  }

  package func prepare(_ matrix: QuantizedMatrix) throws -> any PreparedWeight {
    // The host knows what such a matrix must be; kernels read it as it is.
    try check(matrix)
    let (outFeatures, inFeatures) = (matrix.shape[0], matrix.shape[1])
    if device.isHollow { return hollowWeight(outFeatures, inFeatures, .fourBit(matrix.spec)) }
    return try prepared(outFeatures, inFeatures, .fourBit(uploaded(matrix)))
  }

  package func prepare(_ matrix: Int8Matrix, _ spec: Int8Spec) throws -> any PreparedWeight {
    let prepared = try host.prepare(matrix, spec)
    return device.isHollow
      ? hollowWeight(prepared.outFeatures, prepared.inFeatures, .int8(spec))
      : try upload(prepared, .int8(spec))
  }

  package func quantizedMatrix(
    _ weight: any PreparedWeight, sourceDType: DType
  ) -> QuantizedMatrix? {
    guard case .fourBit(var matrix) = deviceWeight(weight).content else { return nil }
    matrix.packed = downloaded(matrix.packed)
    matrix.sourceDType = sourceDType
    switch matrix.scales {
    case .plain(let absmax): matrix.scales = .plain(downloaded(absmax))
    case .nested(var nested):
      nested.codes = downloaded(nested.codes)
      nested.absmax = downloaded(nested.absmax)
      nested.map = downloaded(nested.map)
      matrix.scales = .nested(nested)
    }
    return matrix
  }

  package func int8Matrix(_ weight: any PreparedWeight) -> Int8Matrix? {
    guard case .int8(let matrix, _) = deviceWeight(weight).content else { return nil }
    return Int8Matrix(codes: downloaded(matrix.codes), scales: downloaded(matrix.scales))
  }

  func deviceWeight(_ weight: any PreparedWeight) -> CUDAWeight {
    let weight = (weight as? any LentWeight)?.borrow() ?? weight
    guard let weight = weight as? CUDAWeight else {
      preconditionFailure("a weight of another backend")
    }
    return weight
  }

  // MARK: Copies

  /// A weight of the host's backend, on the device.
  func upload(_ weight: any PreparedWeight, _ storage: WeightStorage) throws -> CUDAWeight {
    let content: CUDAWeight.Content
    if let matrix = host.quantizedMatrix(weight, sourceDType: .float32) {
      content = .fourBit(uploaded(matrix))
    } else if let matrix = host.int8Matrix(weight), case .int8(let spec) = storage {
      content = .int8(
        Int8Matrix(codes: uploaded(matrix.codes), scales: uploaded(matrix.scales)), spec)
    } else if case .dense(let dtype) = storage {
      content = .dense(uploaded(weight, dtype))
    } else {
      preconditionFailure("a weight of another kind than was asked for")
    }
    return try prepared(weight.outFeatures, weight.inFeatures, content)
  }

  private func prepared(
    _ outFeatures: Int, _ inFeatures: Int, _ content: CUDAWeight.Content
  ) throws -> CUDAWeight {
    try checkHealth()
    let weight = CUDAWeight(outFeatures: outFeatures, inFeatures: inFeatures, content)
    readAhead.join(weight.parts)
    return weight
  }

  private func uploaded(_ matrix: QuantizedMatrix) -> QuantizedMatrix {
    var result = matrix
    result.packed = uploaded(matrix.packed)
    switch matrix.scales {
    case .plain(let absmax): result.scales = .plain(uploaded(absmax))
    case .nested(var nested):
      nested.codes = uploaded(nested.codes)
      nested.absmax = uploaded(nested.absmax)
      nested.map = uploaded(nested.map)
      result.scales = .nested(nested)
    }
    return result
  }

  /// A copy as a part of a weight.
  private func uploaded(_ tensor: Tensor) -> Tensor {
    let copy = weightTensor(tensor.shape, tensor.dtype)
    upload(tensor, to: copy)
    return copy
  }

  private func upload(_ tensor: Tensor, to copy: Tensor) {
    if copy.storage.mirror is PinnedMemory {
      return copy.withMutableBytes { to in tensor.withBytes { to.copyMemory(from: $0) } }
    }
    let address = write(copy)
    tensor.withBytes { bytes in
      guard let start = bytes.baseAddress else { return }
      staging.copy(from: start, to: address, byteCount: bytes.count)
    }
  }

  /// Rows of a dense weight at a time: it is never in float32 as a whole.
  private func uploaded(_ weight: any PreparedWeight, _ dtype: DType) -> Tensor {
    let (rows, columns) = (weight.outFeatures, weight.inFeatures)
    let result = weightTensor([rows, columns], dtype)
    let step = min(rows, max(1, Self.denseFloats / columns))
    let floats = Tensor(uninitialized: [step, columns], .float32)
    let narrow = dtype == .float32 ? floats : Tensor(uninitialized: [step, columns], dtype)
    for row in stride(from: 0, to: rows, by: step) {
      let count = min(step, rows - row)
      let (decoded, piece) = (floats.rows(0..<count), narrow.rows(0..<count))
      host.decode(weight, rows: row..<row + count, into: decoded)
      // The same floats again, whose rounding is exact.
      if dtype != .float32 { host.convert(decoded, into: piece) }
      upload(piece, to: result.rows(row..<row + count))
    }
    return result
  }

  /// Floats of a dense weight that are on their way at once.
  private static let denseFloats = 4 << 20

  private func downloaded(_ tensor: Tensor) -> Tensor {
    let copy = Tensor(uninitialized: tensor.shape, tensor.dtype)
    if tensor.storage.mirror is PinnedMemory {
      copy.withMutableBytes { to in tensor.withBytes { to.copyMemory(from: $0) } }
      return copy
    }
    let address = read(tensor)
    copy.withMutableBytes { bytes in
      guard let start = bytes.baseAddress else { return }
      device.copy(from: address, to: start, byteCount: bytes.count)
    }
    return copy
  }
}

/// Lets the host prepare a weight, which then moves to the device.
private final class UploadingBuilder: WeightBuilder {
  private let builder: any WeightBuilder
  private let storage: WeightStorage
  private let backend: CUDABackend

  init(_ builder: any WeightBuilder, _ storage: WeightStorage, _ backend: CUDABackend) {
    self.builder = builder
    self.storage = storage
    self.backend = backend
  }

  func append(_ values: UnsafeBufferPointer<Float>) throws { try builder.append(values) }
  func fill(_ read: ElementReader) throws { try builder.fill(read) }

  func finish() throws -> any PreparedWeight {
    try backend.upload(builder.finish(), storage)
  }
}

/// Takes any data and hands out a weight that was made beforehand.
private final class HollowBuilder: WeightBuilder {
  private let weight: CUDAWeight

  init(_ weight: CUDAWeight) { self.weight = weight }

  func append(_ values: UnsafeBufferPointer<Float>) throws {}
  func fill(_ read: ElementReader) throws {}
  func finish() throws -> any PreparedWeight { weight }
}
