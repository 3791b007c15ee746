// Weights without data, for a backend that only counts: as large as real ones, in memory that
// nobody touches.
import QLoRATensor

extension CPUBackend {
  func hollowFourBit(
    _ outFeatures: Int, _ inFeatures: Int, _ spec: QuantizationSpec, _ pool: StoragePool
  ) -> FourBitWeight {
    let blocks = (outFeatures * inFeatures + spec.blockSize - 1) / spec.blockSize
    let nested = QuantizationSpec.nestedBlockSize
    let scales =
      spec.doubleQuantized
      ? FourBitScales(
        absmax: pool.borrow((blocks + nested - 1) / nested * 4), codes: pool.borrow(blocks),
        map: pool.borrow(256 * 4))
      : FourBitScales(absmax: pool.borrow(blocks * 4))
    let lineBytes = FourBitWeight.lineBytes(outFeatures: outFeatures, inFeatures: inFeatures)
    return FourBitWeight(
      outFeatures: outFeatures, inFeatures: inFeatures, spec: spec,
      lines: pool.borrow(lineBytes), scales: scales)
  }

  func hollowInt8(
    _ outFeatures: Int, _ inFeatures: Int, _ spec: Int8Spec, _ pool: StoragePool
  ) -> Int8Weight {
    Int8Weight(
      outFeatures: outFeatures, inFeatures: inFeatures, spec: spec, int8, pool.borrow)
  }

  func hollowDense(
    _ outFeatures: Int, _ inFeatures: Int, _ dtype: DType, _ pool: StoragePool
  ) -> DenseWeight {
    let bytes = DenseWeight.panelBytes(outFeatures, inFeatures, dtype)
    return DenseWeight(
      outFeatures: outFeatures, inFeatures: inFeatures, dtype: dtype, panels: pool.borrow(bytes),
      rows)
  }

  /// A tensor that counts as no activation: a shape-only parameter or moment.
  package func hollowTensor(_ shape: Shape) -> Tensor {
    let pool = hollowPool ?? storagePool
    return Tensor(shape: shape, dtype: .float32, storage: pool.borrow(shape.count * 4))
  }
}

/// Takes any data and hands out a weight that was made beforehand.
final class HollowBuilder: WeightBuilder {
  private let weight: any PreparedWeight

  init(_ weight: any PreparedWeight) { self.weight = weight }

  func append(_ values: UnsafeBufferPointer<Float>) throws {}
  func fill(_ read: ElementReader) throws {}
  func finish() throws -> any PreparedWeight { weight }
}
