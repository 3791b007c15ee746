// Products that are tested and timed alike: their sizes, and the seeded weights and inputs.
import QLoRACPU
import QLoRATensor
import TestSupport

/// The size of one product.
package struct ProductCase: Sendable, Hashable, CustomStringConvertible {
  package let tokens: Int
  package let outFeatures: Int
  package let inFeatures: Int

  package init(tokens: Int, _ outFeatures: Int, _ inFeatures: Int) {
    (self.tokens, self.outFeatures, self.inFeatures) = (tokens, outFeatures, inFeatures)
  }

  package var description: String { "\(outFeatures)x\(inFeatures), \(tokens) tokens" }

  /// gate and down of SmolLM2-135M, and a square of Llama's width.
  package static let shapes = [(1536, 576), (576, 1536), (4096, 4096)]
  /// A row of a batch, a quarter, few, and generation.
  package static let tokenCounts = [512, 128, 32, 1]

  package static let all = shapes.flatMap { shape in
    tokenCounts.map { ProductCase(tokens: $0, shape.0, shape.1) }
  }
}

extension CPUBackend {
  /// A weight of seeded normals, and what it decodes to.
  package func seededWeight(
    _ outFeatures: Int, _ inFeatures: Int, _ storage: WeightStorage, seed: UInt64 = 7
  ) throws -> (any PreparedWeight, [Float]) {
    var generator = SeededGenerator(seed: seed)
    let values = generator.normals(outFeatures * inFeatures, scale: 0.3)
    let builder = try makeWeightBuilder(
      outFeatures: outFeatures, inFeatures: inFeatures, storage)
    try values.withUnsafeBufferPointer { try builder.append($0) }
    let weight = try builder.finish()
    let decoded = allocate([outFeatures, inFeatures], .float32)
    decode(weight, rows: 0..<outFeatures, into: decoded)
    return (weight, decoded.floats())
  }

  package func seededTensor(_ shape: Shape, _ dtype: DType = .float32, seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    let values = generator.normals(shape.count)
    if dtype == .float32 { return Tensor(values, shape: shape) }
    let tensor = Tensor(uninitialized: shape, dtype)
    tensor.withMutableElements(UInt16.self) { bits in
      for (index, value) in values.enumerated() {
        bits[index] = dtype == .bfloat16 ? value.bfloat16Bits : Float16(value).bitPattern
      }
    }
    return tensor
  }

  package func seededAdapter(
    rank: Int, _ outFeatures: Int, _ inFeatures: Int, tokens: Int, dropout: DropoutMask? = nil
  ) -> AdapterTerm {
    AdapterTerm(
      a: seededTensor([rank, inFeatures], seed: 11), b: seededTensor([outFeatures, rank], seed: 12),
      scale: 0.5, dropout: dropout, projected: Tensor(zeros: [tokens, rank]))
  }
}
