// Weights into and out of this backend's layouts.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

// SAFETY: lengths are checked before pointers are taken; items write disjoint rows or pairs of
// rows.
extension CPUBackend {
  package func makeWeightBuilder(
    outFeatures: Int, inFeatures: Int, _ storage: WeightStorage
  ) throws -> any WeightBuilder {
    guard outFeatures > 0, inFeatures > 0 else {
      throw Diagnostic(
        .weightShapeInvalid, "a weight of shape [\(outFeatures), \(inFeatures)] has no elements")
    }
    switch storage {
    case .fourBit(let spec):
      try check(spec)
      if let hollowPool {
        return HollowBuilder(hollowFourBit(outFeatures, inFeatures, spec, hollowPool))
      }
      return FourBitBuilder(
        outFeatures: outFeatures, inFeatures: inFeatures, spec: spec, backend: self)
    case .int8(let spec):
      try check(spec)
      if let hollowPool {
        return HollowBuilder(hollowInt8(outFeatures, inFeatures, spec, hollowPool))
      }
      return Int8Builder(
        outFeatures: outFeatures, inFeatures: inFeatures, spec: spec, backend: self)
    case .dense(let dtype):
      guard dtype.isActivation else {
        throw Diagnostic(.weightShapeInvalid, "a dense weight is kept as a float, not as \(dtype)")
      }
      if let hollowPool {
        return HollowBuilder(hollowDense(outFeatures, inFeatures, dtype, hollowPool))
      }
      return DenseBuilder(
        outFeatures: outFeatures, inFeatures: inFeatures, dtype: dtype, backend: self)
    }
  }

  func check(_ spec: QuantizationSpec) throws {
    guard QuantizationSpec.validBlockSizes.contains(spec.blockSize) else {
      throw Diagnostic(
        .weightShapeInvalid, "4-bit blocks have 32, 64, 128 … 4096 weights, not \(spec.blockSize)")
    }
  }

  package func check(_ matrix: QuantizedMatrix) throws {
    try check(matrix.spec)
    guard matrix.shape.rank == 2, matrix.shape.count > 0 else {
      throw Diagnostic(
        .weightShapeInvalid, "a 4-bit weight is a matrix, but its shape is \(matrix.shape)")
    }
    try checkLength("packed codes", (matrix.shape.count + 1) / 2, matrix.packed, .uint8)
    let blocks = matrix.blockCount
    switch matrix.scales {
    case .plain(let absmax): try checkLength("absmax", blocks, absmax, .float32)
    case .nested(let nested):
      let nestedBlocks =
        (blocks + QuantizationSpec.nestedBlockSize - 1) / QuantizationSpec.nestedBlockSize
      try checkLength("absmax codes", blocks, nested.codes, .uint8)
      try checkLength("nested absmax", nestedBlocks, nested.absmax, .float32)
      try checkLength("nested map", 256, nested.map, .float32)
    }
  }

  package func prepare(_ matrix: QuantizedMatrix) throws -> any PreparedWeight {
    try check(matrix)
    let (outFeatures, inFeatures) = (matrix.shape[0], matrix.shape[1])
    if let hollowPool { return hollowFourBit(outFeatures, inFeatures, matrix.spec, hollowPool) }
    let lines = FourBitLines(outFeatures: outFeatures, inFeatures: inFeatures)
    let packed = matrix.packed.pointer(UInt8.self)
    let kernels = product
    let (storage, memory) = scratch(floats: inFeatures / 4 + 1)
    threadPool.run(outFeatures) { row, worker in
      if lines.hasWholeRows {
        return lines.insert(packed: packed + row * (inFeatures / 2), row: row)
      }
      let codes = UnsafeMutableRawPointer(memory(worker)).assumingMemoryBound(to: UInt8.self)
      for column in 0..<inFeatures {
        let flat = row * inFeatures + column
        codes[column] = flat % 2 == 0 ? packed[flat / 2] >> 4 : packed[flat / 2] & 15
      }
      lines.insert(codes, count: inFeatures, first: row * inFeatures, kernels)
    }
    withExtendedLifetime(storage) {}
    return FourBitWeight(
      outFeatures: outFeatures, inFeatures: inFeatures, spec: matrix.spec, lines: lines.storage,
      scales: prepared(matrix.scales))
  }

  private func prepared(_ scales: BlockScales) -> FourBitScales {
    switch scales {
    case .plain(let absmax): FourBitScales(absmax: copy(absmax))
    case .nested(let nested):
      FourBitScales(
        absmax: copy(nested.absmax), codes: copy(nested.codes), map: copy(nested.map),
        offset: nested.offset)
    }
  }

  private func checkLength(_ what: String, _ count: Int, _ tensor: Tensor, _ dtype: DType) throws {
    guard tensor.count == count, tensor.dtype == dtype else {
      throw Diagnostic(
        .weightShapeInvalid,
        "the \(what) of a 4-bit weight should be \(count) elements of \(dtype), but are "
          + "\(tensor.count) of \(tensor.dtype)")
    }
  }

  private func copy(_ tensor: Tensor) -> Storage {
    let storage = Storage(byteCount: tensor.byteCount)
    storage.baseAddress.copyMemory(from: tensor.address, byteCount: tensor.byteCount)
    return storage
  }

  package func quantizedMatrix(
    _ weight: any PreparedWeight, sourceDType: DType
  ) -> QuantizedMatrix? {
    guard let weight = panelWeight(weight) as? FourBitWeight else { return nil }
    let (outFeatures, inFeatures) = (weight.outFeatures, weight.inFeatures)
    let count = outFeatures * inFeatures
    let packed = Tensor(uninitialized: [(count + 1) / 2], .uint8)
    let bytes = packed.pointer(UInt8.self)
    let lines = FourBitLines(
      outFeatures: outFeatures, inFeatures: inFeatures, storage: weight.lines)
    // One pair of rows at a time, so that even odd rows begin at a whole byte.
    let (storage, memory) = scratch(floats: inFeatures / 2 + 2)
    threadPool.run((outFeatures + 1) / 2) { pair, worker in
      let rows = pair * 2..<min(pair * 2 + 2, outFeatures)
      if lines.hasWholeRows {
        for row in rows { lines.extract(row: row, packed: bytes + row * (inFeatures / 2)) }
        return
      }
      let codes = UnsafeMutableRawPointer(memory(worker)).assumingMemoryBound(to: UInt8.self)
      for row in rows { lines.extract(row: row, into: codes + (row - pair * 2) * inFeatures) }
      let length = rows.count * inFeatures
      // bitsandbytes pads an odd count with the code of zero.
      codes[length] = FourBitTable(weight.specification.type).codeOfZero
      let place = bytes + pair * inFeatures
      for index in 0..<(length + 1) / 2 {
        place[index] = codes[index * 2] << 4 | codes[index * 2 + 1]
      }
    }
    withExtendedLifetime(storage) {}
    return QuantizedMatrix(
      shape: [outFeatures, inFeatures], spec: weight.specification, packed: packed,
      scales: scales(of: weight), sourceDType: sourceDType)
  }

  private func scales(of weight: FourBitWeight) -> BlockScales {
    let blocks = weight.blockCount
    let scales = weight.scales
    guard let codes = scales.codes, let map = scales.map else {
      return .plain(Tensor(shape: [blocks], dtype: .float32, storage: scales.absmax))
    }
    return .nested(
      NestedAbsmax(
        codes: Tensor(shape: [blocks], dtype: .uint8, storage: codes),
        absmax: Tensor(shape: [weight.nestedBlockCount], dtype: .float32, storage: scales.absmax),
        map: Tensor(shape: [256], dtype: .float32, storage: map), offset: scales.offset))
  }
}
