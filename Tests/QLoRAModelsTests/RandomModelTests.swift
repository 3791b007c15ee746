// Random weights make a model that computes: finite, the same every time, held as asked.
import QLoRACPU
import QLoRAFormats
import QLoRATensor
import Testing

import QLoRAModels

@Suite struct RandomModelTests {
  private static let config = ModelConfig(
    vocabularySize: 40, hidden: 64, intermediate: 128, layers: 2, heads: 4, kvHeads: 2, headDim: 16,
    normEpsilon: 1e-5, rope: RopeParameters(theta: 10_000), maxPositions: 64, tiesEmbeddings: false)

  private static let specs: [QuantizationSpec?] = [
    QuantizationSpec(), QuantizationSpec(doubleQuantized: false), nil,
  ]

  private func lossSum(_ spec: QuantizationSpec?) throws -> Double {
    let source = ModelSource.random("tiny", Self.config, quantization: spec)
    let model = try ModelLoader(
      source, backend: try CPUBackend(threads: 2),
      options: LoadOptions(quantization: spec.map { .fourBit($0) })
    ).load()
    #expect(model.linears.allSatisfy { $0.weight.spec == spec })
    let tokens = (0..<12).map { Int32($0 * 3) }
    return try model.lossSum(
      TokenBatch(
        tokens: tokens, positions: (0..<12).map { Int32($0) }, bounds: [0, 12],
        rows: (0..<11).map { Int32($0) }, targets: Array(tokens.dropFirst())))
  }

  /// Knowing nothing costs log(40) a token.
  @Test(arguments: specs) func theLossIsThatOfGuessing(_ spec: QuantizationSpec?) throws {
    let loss = try lossSum(spec) / 11
    #expect(abs(loss - 3.689) < 0.5)
    #expect(try lossSum(spec) / 11 == loss)
  }

  /// A mean adds up over a row, which deviations do not.
  @Test(arguments: FourBitType.allCases) func codesHaveNoMean(type: FourBitType) throws {
    var config = Self.config
    (config.hidden, config.intermediate) = (512, 1_024)
    let source = ModelSource.random("wide", config, quantization: QuantizationSpec(type: type))
    let matrix = try #require(
      try source.weights.quantizedMatrix("model.layers.0.mlp.up_proj.weight"))
    let backend = try CPUBackend(threads: 1)
    let decoded = Tensor(uninitialized: matrix.shape, .float32)
    backend.decode(try backend.prepare(matrix), rows: 0..<matrix.shape[0], into: decoded)
    let values = decoded.floats()
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    // Half a million values of deviation 0.02 have a mean of 3e-5 by chance.
    #expect(abs(mean) < 0.02 / 100)
  }

  @Test func deviationIsThatOfFreshWeights() throws {
    let source = ModelSource.random("tiny", Self.config, quantization: QuantizationSpec())
    let name = "model.layers.1.mlp.gate_proj.weight"
    let matrix = try #require(try source.weights.quantizedMatrix(name))
    let backend = try CPUBackend(threads: 1)
    let decoded = Tensor(uninitialized: matrix.shape, .float32)
    backend.decode(try backend.prepare(matrix), rows: 0..<matrix.shape[0], into: decoded)
    for values in [decoded.floats(), try source.weights.tensor(name).floats()] {
      let meanSquare = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
      #expect(abs(meanSquare.squareRoot() / 0.02 - 1) < 0.1)
    }
  }
}
