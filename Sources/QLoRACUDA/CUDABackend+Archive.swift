// Prepared weights taken apart in the host's layout, so that both devices share a cache of weights.
import QLoRADiagnostics
import QLoRATensor

extension CUDABackend: WeightArchiving {
  package var weightLayout: String { host.weightLayout }

  package func check(_ matrix: QuantizedMatrix) throws { try host.check(matrix) }

  package func archive(_ weight: any PreparedWeight) -> ArchivedWeight {
    host.archive(hostWeight(deviceWeight(weight)))
  }

  package func restore(_ archived: ArchivedWeight) throws -> any PreparedWeight {
    try upload(host.restore(archived), archived.storage)
  }

  /// The weight as the host's backend would have prepared it.
  private func hostWeight(_ weight: CUDAWeight) -> any PreparedWeight {
    do {
      switch weight.content {
      case .fourBit:
        if let matrix = quantizedMatrix(weight, sourceDType: .float32) {
          return try host.prepare(matrix)
        }
      case .int8(_, let spec):
        if let matrix = int8Matrix(weight) { return try host.prepare(matrix, spec) }
      case .dense(let values): return try hostDense(weight, values.dtype)
      }
    } catch {
      preconditionFailure("the device has what the host prepared, and the host refused: \(error)")
    }
    preconditionFailure("a weight without its matrix")
  }

  private func hostDense(_ weight: CUDAWeight, _ dtype: DType) throws -> any PreparedWeight {
    let builder = try host.makeWeightBuilder(
      outFeatures: weight.outFeatures, inFeatures: weight.inFeatures, .dense(dtype))
    let floats = allocate([weight.outFeatures, weight.inFeatures], .float32)
    decode(weight, rows: 0..<weight.outFeatures, into: floats)
    try floats.withElements(Float.self) { try builder.append($0) }
    return try builder.finish()
  }
}
