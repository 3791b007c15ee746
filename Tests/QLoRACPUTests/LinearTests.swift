// Forward products against an fp64 oracle, on every instruction set.
import ProductCases
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRACPU

struct LinearTests {
  static let storages: [WeightStorage] = [
    .fourBit(QuantizationSpec()), .fourBit(QuantizationSpec(blockSize: 32, doubleQuantized: false)),
    .fourBit(QuantizationSpec(type: .fp4)), .dense(.float32), .dense(.bfloat16), .dense(.float16),
    .int8(Int8Spec()),
  ]

  private func distance(
    _ backend: CPUBackend, tokens: Int, _ outFeatures: Int, _ inFeatures: Int,
    _ storage: WeightStorage, dtype: DType = .float32, adapter rank: Int = 0
  ) throws -> Double {
    let (weight, values) = try backend.seededWeight(outFeatures, inFeatures, storage)
    let input = backend.seededTensor([tokens, inFeatures], dtype, seed: 3)
    let bias = backend.seededTensor([outFeatures], seed: 4)
    let adapter =
      rank > 0
      ? backend.seededAdapter(rank: rank, outFeatures, inFeatures, tokens: tokens) : nil
    let output = Tensor(uninitialized: [tokens, outFeatures], dtype)
    backend.linear(
      input, [LinearTerm(weight: weight, bias: bias, adapter: adapter, output: output)])
    let x = Oracle(input)
    var expected = x.timesTransposed(Oracle(outFeatures, inFeatures, values.map(Double.init)))
    let biases = bias.floats().map(Double.init)
    for index in expected.values.indices { expected.values[index] += biases[index % outFeatures] }
    if let adapter {
      let low = x.timesTransposed(Oracle(adapter.a))
      #expect(low.distance(adapter.projected) < 1e-5)
      expected = expected.plus(low.timesTransposed(Oracle(adapter.b)), scale: 0.5)
    }
    return expected.distance(output)
  }

  @Test(arguments: CPUBackend.instructionSets, [1, 3, 7, 8, 9, 16, 33, 47, 48, 49, 100])
  func everyStorageMatchesTheOracle(instructionSet: String, tokens: Int) throws {
    let backend = try CPUBackend(threads: 2, product: .fused, instructionSet: instructionSet)
    for storage in Self.storages {
      #expect(try distance(backend, tokens: tokens, 72, 192, storage) < 2e-6)
      #expect(try distance(backend, tokens: tokens, 72, 192, storage, adapter: 6) < 2e-6)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func oddShapesMatchTheOracle(instructionSet: String) throws {
    let backend = try CPUBackend(threads: 2, product: .fused, instructionSet: instructionSet)
    for (outFeatures, inFeatures) in [(1, 1), (3, 7), (37, 61), (9, 129), (65, 48), (8, 320)] {
      for storage in Self.storages {
        for tokens in [1, 8, 9, 50] {
          let distance = try distance(backend, tokens: tokens, outFeatures, inFeatures, storage,
                                      adapter: 3)
          #expect(distance < 2e-6, "\(outFeatures)x\(inFeatures) \(storage) \(tokens)")
        }
      }
    }
  }

  @Test(arguments: QuantizationSpec.validBlockSizes)
  func everyBlockSizeMatchesTheOracle(blockSize: Int) throws {
    let backend = try CPUBackend(threads: 2, product: .fused)
    for nested in [false, true] {
      let spec = QuantizationSpec(blockSize: blockSize, doubleQuantized: nested)
      for tokens in [2, 20] {
        // fp32 sums of 4096 products in one chain.
        #expect(try distance(backend, tokens: tokens, 24, 4096, .fourBit(spec)) < 1e-5)
        #expect(try distance(backend, tokens: tokens, 24, 96, .fourBit(spec)) < 2e-6)
      }
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func bfloat16RoundsOnceAtTheEnd(instructionSet: String) throws {
    let backend = try CPUBackend(threads: 2, product: .fused, instructionSet: instructionSet)
    for tokens in [1, 5, 50] {
      let storage = WeightStorage.fourBit(QuantizationSpec())
      let distance = try distance(backend, tokens: tokens, 40, 128, storage, dtype: .bfloat16)
      // Half a unit in the last of 8 bits, relative to the largest element.
      #expect(distance < 1.01 / 256)
    }
  }

  @Test(arguments: CPUBackend.instructionSets, [ProductEngine.fused, .openBLAS])
  func float16RoundsOnceAtTheEnd(instructionSet: String, engine: ProductEngine) throws {
    let backend = try CPUBackend(threads: 2, product: engine, instructionSet: instructionSet)
    for storage in [WeightStorage.fourBit(QuantizationSpec()), .dense(.float16)] {
      for tokens in [1, 5, 50] {
        let distance = try distance(
          backend, tokens: tokens, 40, 128, storage, dtype: .float16, adapter: 4)
        // The same of 11 bits.
        #expect(distance < 1.01 / 2048)
      }
    }
  }

  @Test func aWeightTooLargeForFloat16IsRefused() throws {
    let backend = try CPUBackend(threads: 2)
    let values: [Float] = [1, -65_519, 65_520, 0]
    for dtype in [DType.float16, .bfloat16] {
      for kept in [2, 4] {
        let builder = try backend.makeWeightBuilder(
          outFeatures: 1, inFeatures: kept, .dense(dtype))
        let fill = {
          try builder.fill { range, floats in
            for index in range { floats[index - range.lowerBound] = values[index] }
          }
        }
        guard dtype == .float16, kept == 4 else {
          try fill()
          continue
        }
        let found = #expect(throws: Diagnostic.self) { try fill() }
        #expect(found?.code == .weightNotFinite && found?.message.contains("element 2") == true)
        #expect(throws: Diagnostic.self) {
          try values.withUnsafeBufferPointer { try builder.append($0) }
        }
      }
    }
  }

  @Test func openBLASMatchesTheOracleToo() throws {
    let backend = try CPUBackend(threads: 2, product: .openBLAS)
    for storage in Self.storages {
      #expect(try distance(backend, tokens: 50, 137, 192, storage, adapter: 4) < 2e-6)
    }
    let storage = WeightStorage.fourBit(QuantizationSpec())
    #expect(try distance(backend, tokens: 50, 40, 64, storage, dtype: .bfloat16) < 1.01 / 256)
  }

  @Test(arguments: [3, 130])
  func resultsDoNotDependOnTheNumberOfThreads(tokens: Int) throws {
    var outputs: [[UInt8]] = []
    for threads in [1, 2, 4] {
      let backend = try CPUBackend(threads: threads, product: .fused)
      let (weight, _) = try backend.seededWeight(200, 576, .fourBit(QuantizationSpec()))
      let input = backend.seededTensor([tokens, 576], seed: 5)
      let output = Tensor(zeros: [tokens, 200])
      let adapter = backend.seededAdapter(rank: 8, 200, 576, tokens: tokens)
      backend.linear(input, [LinearTerm(weight: weight, adapter: adapter, output: output)])
      outputs.append(output.bytes + adapter.projected.bytes)
    }
    #expect(outputs[0] == outputs[1] && outputs[1] == outputs[2])
  }

  @Test func termsShareTheirInput() throws {
    let backend = try CPUBackend(threads: 2)
    let input = backend.seededTensor([60, 128], seed: 5)
    let sizes = [64, 24, 8]
    let terms = try sizes.map { size in
      let (weight, _) = try backend.seededWeight(
        size, 128, .fourBit(QuantizationSpec()), seed: UInt64(size))
      return LinearTerm(weight: weight, output: Tensor(zeros: [60, size]))
    }
    backend.linear(input, terms)
    for term in terms {
      let alone = Tensor(zeros: term.output.shape)
      backend.linear(input, [LinearTerm(weight: term.weight, output: alone)])
      #expect(alone.bytes == term.output.bytes)
    }
  }

  @Test func embeddingGathersRows() throws {
    let backend = try CPUBackend(threads: 2)
    for storage in Self.storages {
      let (weight, values) = try backend.seededWeight(21, 64, storage)
      let output = Tensor(zeros: [3, 64])
      backend.embedding([20, 0, 7], weight, into: output)
      let expected = [20, 0, 7].flatMap { Array(values[$0 * 64..<($0 + 1) * 64]) }
      #expect(output.floats() == expected)
    }
  }
}
