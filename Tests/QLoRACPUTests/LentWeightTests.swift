// A weight that is borrowed for each operation gives the bits of one that is always there, on every
// path that a product can take.
import ProductCases
import QLoRACPU
import QLoRATensor
import Testing

/// Lends another weight.
private final class Lent: LentWeight {
  private let weight: any PreparedWeight

  init(_ weight: any PreparedWeight) { self.weight = weight }

  var outFeatures: Int { weight.outFeatures }
  var inFeatures: Int { weight.inFeatures }
  var byteCount: Int { 0 }
  var spec: QuantizationSpec? { weight.spec }

  func borrow() -> any PreparedWeight { weight }
}

@Suite struct LentWeightTests {
  private static let (outFeatures, inFeatures, rank) = (72, 128, 4)

  private func results(
    _ backend: CPUBackend, _ weight: any PreparedWeight, _ dtype: DType, tokens: Int
  ) -> [[Float]] {
    let (outputs, inputs) = (Self.outFeatures, Self.inFeatures)
    let x = backend.seededTensor([tokens, inputs], dtype, seed: 3)
    let adapter = backend.seededAdapter(rank: Self.rank, outputs, inputs, tokens: tokens)
    let output = Tensor(zeros: [tokens, outputs])
    backend.linear(x, [LinearTerm(weight: weight, adapter: adapter, output: output)])
    let (a, b) = (Tensor(zeros: [Self.rank, inputs]), Tensor(zeros: [outputs, Self.rank]))
    let gradient = Tensor(zeros: [tokens, inputs])
    backend.linearBackward(
      [
        LinearGradientTerm(
          weight: weight, adapter: adapter, aGradient: a, bGradient: b,
          outputGradient: backend.seededTensor([tokens, outputs], seed: 4))
      ], input: x, inputGradient: gradient, accumulating: false)
    let embedded = Tensor(zeros: [3, inputs])
    backend.embedding([0, 71, 5], weight, into: embedded)
    let decoded = Tensor(zeros: [outputs, inputs])
    backend.decode(weight, rows: 0..<outputs, into: decoded)
    let hidden = Tensor(zeros: [tokens, inputs])
    let loss = backend.linearCrossEntropy(
      x, rows: [0], targets: [7], head: weight, hiddenGradient: hidden)
    return [output, a, b, gradient, embedded, decoded, hidden].map { $0.floats() }
      + [[Float(loss)]] + backend.archive(weight).parts.map { part in
        part.withBytes { bytes in bytes.map { Float($0) } }
      }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func givesTheSameBits(set: String) throws {
    let engines = ProductEngine.allCases.compactMap { engine in
      try? CPUBackend(threads: 2, product: engine, instructionSet: set)
    }
    try #require(engines.count >= 3)
    for backend in engines {
      for storage in [WeightStorage.fourBit(QuantizationSpec()), .dense(.bfloat16)] {
        let (weight, _) = try backend.seededWeight(Self.outFeatures, Self.inFeatures, storage)
        for (dtype, tokens) in [(DType.float32, 1), (.float32, 50), (.bfloat16, 50)] {
          #expect(
            results(backend, Lent(weight), dtype, tokens: tokens)
              == results(backend, weight, dtype, tokens: tokens),
            "\(backend.name) \(storage) \(dtype) \(tokens)")
        }
        #expect(
          backend.quantizedMatrix(Lent(weight), sourceDType: .float32)?.packed.withBytes(Array.init)
            == backend.quantizedMatrix(weight, sourceDType: .float32)?.packed.withBytes(Array.init))
      }
    }
  }
}
