// What every backend must compute as the CPU's does: each operation with small inputs at the edges
// of sizes. The tests of a device run them on both, and so does `qlora-bench check`.
import QLoRATensor
import TestSupport

/// One call, or a few that belong together, with inputs made of a seed.
package struct BackendCase: Sendable, CustomStringConvertible {
  package let name: String
  /// The largest difference of an element from the other backend's, relative to the largest element
  /// of its tensor; 0 = the same bits. Comes from the arithmetic of the types.
  package let tolerance: Double
  /// Returns what the operations wrote.
  package let run: @Sendable (any Backend) throws -> [Tensor]

  package init(
    _ name: String, tolerance: Double,
    _ run: @escaping @Sendable (any Backend) throws -> [Tensor]
  ) {
    self.name = name
    self.tolerance = tolerance
    self.run = run
  }

  package var description: String { name }

  package static let all: [BackendCase] =
    elements + gelus + rows + layerNorms + columns + weights + products + gradients
    + activatedGradients + heads + choices + classifiers + attentions + spans + modulations
    + pixels + experts + optimizers
}

/// What two backends made of a case.
package struct CaseOutcome: Sendable {
  /// The largest relative difference; infinite where shapes differ or a number is none.
  package let difference: Double
  package let isWithin: Bool
}

extension BackendCase {
  package func compare(
    _ backend: any Backend, with reference: any Backend
  ) throws -> CaseOutcome {
    let (found, expected) = (try run(backend), try run(reference))
    try backend.checkHealth()
    let differences = zip(found, expected).map { Self.difference($0, $1) }
    let worst = found.count == expected.count ? differences.max() ?? 0 : .infinity
    return CaseOutcome(difference: worst, isWithin: worst <= tolerance)
  }

  private static func difference(_ found: Tensor, _ expected: Tensor) -> Double {
    guard found.shape == expected.shape, found.dtype == expected.dtype else { return .infinity }
    if found.byteCount == 0 { return 0 }
    guard found.dtype.isFloatingPoint, found.dtype != .float64 else {
      let isSame = found.withBytes { a in expected.withBytes { b in a.elementsEqual(b) } }
      return isSame ? 0 : .infinity
    }
    let (a, b) = (found.floats(), expected.floats())
    if zip(a, b).allSatisfy({ $0.bitPattern == $1.bitPattern }) { return 0 }
    let largest = b.reduce(0) { max($0, Double(abs($1))) }
    let apart = zip(a, b).reduce(0.0) {
      let difference = abs(Double($1.0) - Double($1.1))
      return difference.isNaN ? .infinity : max($0, difference)
    }
    return apart / max(largest, .leastNormalMagnitude)
  }
}

// MARK: Inputs
extension Backend {
  /// Standard normal deviates times `scale`, in a type.
  func seeded(
    _ shape: Shape, _ dtype: DType = .float32, seed: UInt64, scale: Float = 1
  ) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    let floats = Tensor(generator.normals(shape.count, scale: scale), shape: shape)
    if dtype == .float32 { return floats }
    let output = allocate(shape, dtype)
    convert(floats, into: output)
    return output
  }

  /// An output that nothing was written to: every byte is of a NaN.
  func blank(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
    let tensor = allocate(shape, dtype)
    tensor.withMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0xFF) }
    return tensor
  }

  /// A weight of normal deviates of 0.05, as `storage` keeps it.
  func seededWeight(
    _ outFeatures: Int, _ inFeatures: Int, _ storage: WeightStorage, seed: UInt64 = 1
  ) throws -> any PreparedWeight {
    var generator = SeededGenerator(seed: seed)
    let values = generator.normals(outFeatures * inFeatures, scale: 0.05)
    let builder = try makeWeightBuilder(
      outFeatures: outFeatures, inFeatures: inFeatures, storage)
    try values.withUnsafeBufferPointer { try builder.append($0) }
    return try builder.finish()
  }

  func seededAdapter(
    rank: Int, _ outFeatures: Int, _ inFeatures: Int, tokens: Int, dropout: DropoutMask? = nil,
    seed: UInt64 = 7
  ) -> AdapterTerm {
    AdapterTerm(
      a: seeded([rank, inFeatures], seed: seed, scale: 0.1),
      b: seeded([outFeatures, rank], seed: seed + 1, scale: 0.1), scale: 0.5, dropout: dropout,
      projected: blank([tokens, rank]))
  }
}

/// Half a unit in the last place of a type, relative to an element.
func rounding(_ dtype: DType) -> Double {
  switch dtype {
  case .bfloat16: 1.0 / 256
  case .float16: 1.0 / 2048
  default: Double(Float.ulpOfOne) / 2
  }
}
