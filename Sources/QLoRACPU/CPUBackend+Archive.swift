// Prepared weights taken apart and put together again; 4-bit lines and dense panels are the same
// bytes for every instruction set.
import QLoRADiagnostics
import QLoRATensor

// SAFETY: parts are measured before a weight reads them, and their memory lives as long as it.
extension CPUBackend: WeightArchiving {
  package var weightLayout: String { "cpu 1: lines of 16 columns by 8 rows, panels of 8 rows" }

  package func archive(_ weight: any PreparedWeight) -> ArchivedWeight {
    let (storage, parts): (WeightStorage, [Tensor]) =
      switch panelWeight(weight) {
      case let dense as DenseWeight:
        (.dense(dense.dtype), [part(dense.panels, dense.paddedCount, dense.dtype)])
      case let packed as FourBitWeight: (.fourBit(packed.specification), parts(of: packed))
      case let rows as Int8Weight: (.int8(rows.specification), parts(of: rows))
      default: preconditionFailure("a weight of another backend")
      }
    return ArchivedWeight(
      outFeatures: weight.outFeatures, inFeatures: weight.inFeatures, storage: storage,
      parts: parts)
  }

  private func part(_ storage: Storage, _ count: Int, _ dtype: DType) -> Tensor {
    Tensor(shape: [count], dtype: dtype, storage: storage)
  }

  private func parts(of weight: FourBitWeight) -> [Tensor] {
    let (scales, blocks) = (weight.scales, weight.blockCount)
    let lines = part(weight.lines, weight.lineByteCount, .uint8)
    guard let codes = scales.codes, let map = scales.map else {
      return [lines, part(scales.absmax, blocks, .float32)]
    }
    return [
      lines, part(scales.absmax, weight.nestedBlockCount, .float32), part(codes, blocks, .uint8),
      part(map, 256, .float32), Tensor([scales.offset], shape: [1]),
    ]
  }

  private func parts(of weight: Int8Weight) -> [Tensor] {
    let rows = weight.bands * Int8Weight.bandRows
    return [
      part(weight.codes, weight.codeByteCount, .int8), part(weight.scales, rows, .float32),
      part(weight.corrections, rows, .int32),
    ]
  }

  package func restore(_ archived: ArchivedWeight) throws -> any PreparedWeight {
    let (outFeatures, inFeatures) = (archived.outFeatures, archived.inFeatures)
    switch archived.storage {
    case .dense(let dtype):
      let weight = DenseWeight(
        outFeatures: outFeatures, inFeatures: inFeatures, dtype: dtype,
        panels: try memory(archived, 0), rows)
      try check(archived, [(weight.paddedCount, dtype)])
      return weight
    case .int8(let spec):
      try check(spec)
      let weight = Int8Weight(
        outFeatures: outFeatures, inFeatures: inFeatures, spec: spec,
        codes: try memory(archived, 0), scales: try memory(archived, 1),
        corrections: try memory(archived, 2), int8)
      let rows = weight.bands * Int8Weight.bandRows
      try check(archived, [(weight.codeByteCount, .int8), (rows, .float32), (rows, .int32)])
      return weight
    case .fourBit(let spec):
      try check(spec)
      var scales = FourBitScales(absmax: try memory(archived, 1))
      if spec.doubleQuantized {
        scales.codes = try memory(archived, 2)
        scales.map = try memory(archived, 3)
        _ = try memory(archived, 4)
        if archived.parts[4].dtype == .float32, archived.parts[4].count == 1 {
          scales.offset = archived.parts[4][flat: 0]
        }
      }
      let weight = FourBitWeight(
        outFeatures: outFeatures, inFeatures: inFeatures, spec: spec,
        lines: try memory(archived, 0), scales: scales)
      let (lines, blocks) = ((weight.lineByteCount, DType.uint8), weight.blockCount)
      try check(
        archived,
        spec.doubleQuantized
          ? [lines, (weight.nestedBlockCount, .float32), (blocks, .uint8), (256, .float32),
            (1, .float32)]
          : [lines, (blocks, .float32)])
      return weight
    }
  }

  private func check(_ archived: ArchivedWeight, _ expected: [(count: Int, dtype: DType)]) throws {
    guard archived.parts.count == expected.count else { throw mismatch(archived) }
    for (part, expected) in zip(archived.parts, expected) {
      guard part.count == expected.count, part.dtype == expected.dtype else {
        throw mismatch(archived)
      }
    }
  }

  /// The memory of one part, which lives as long as what the part views.
  private func memory(_ archived: ArchivedWeight, _ index: Int) throws -> Storage {
    guard archived.parts.indices.contains(index), archived.outFeatures > 0,
      archived.inFeatures > 0
    else { throw mismatch(archived) }
    let part = archived.parts[index]
    return Storage(
      adopting: part.address, byteCount: part.byteCount, owner: StorageLender(part))
  }

  private func mismatch(_ archived: ArchivedWeight) -> Diagnostic {
    Diagnostic(
      .weightShapeInvalid,
      "the parts of a weight of shape [\(archived.outFeatures), \(archived.inFeatures)] have other "
        + "lengths than it needs")
  }
}
