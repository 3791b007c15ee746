// Products in 16-bit integers against an fp64 oracle, within what their roundings allow.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRACPU

struct Int16ProductTests {
  /// The instruction sets that compute in int16 here.
  static let sets = CPUBackend.instructionSets.filter {
    (try? CPUBackend(threads: 1, product: .int16, instructionSet: $0)) != nil
  }
  static let nf4 = WeightStorage.fourBit(QuantizationSpec())

  private func backend(_ set: String, threads: Int = 2) throws -> CPUBackend {
    try CPUBackend(threads: threads, product: .int16, instructionSet: set)
  }

  /// What rounding the elements of `left [m, k]` to a share of the largest of their 64 and those of
  /// `right [n, k]` to a share of `rightUnits [n, k]` can do to one element of `left·rightᵀ`.
  private func bound(
    _ left: ArraySlice<Double>, _ right: ArraySlice<Double>, _ rightUnits: ArraySlice<Double>
  ) -> Double {
    var (sum, all) = (0.0, 0.0)
    let (left, right, units) = (Array(left), Array(right), Array(rightUnits))
    for start in stride(from: 0, to: left.count, by: 64) {
      let steps = start..<min(start + 64, left.count)
      let largest = steps.map { abs(left[$0]) }.max() ?? 0
      for step in steps {
        // Half a unit of 8191 on the left; half a unit of the codebook's factor, which is more than
        // 3700, or two roundings to units of 4095 on the right.
        sum += abs(right[step]) * largest / (2 * 8191) + abs(left[step]) * units[step] / 4095
        all += abs(left[step] * right[step])
      }
    }
    return sum + all * 1e-6
  }

  private func checkBounds(
    _ found: [Float], _ expected: Oracle, _ left: Oracle, _ right: Oracle, _ units: [Double]
  ) {
    let depth = left.columns
    var (error, power) = (0.0, 0.0)
    for row in 0..<expected.rows {
      for column in 0..<expected.columns {
        let place = row * expected.columns + column
        let difference = abs(Double(found[place]) - expected.values[place])
        let range = column * depth..<(column + 1) * depth
        let allowed = bound(
          left.values[row * depth..<(row + 1) * depth], right.values[range], units[range])
        #expect(difference <= allowed, "row \(row), column \(column)")
        error += difference * difference
        power += expected.values[place] * expected.values[place]
      }
    }
    // bf16 factors err by 1.6e-3 in such products.
    #expect(error.squareRoot() <= 4e-4 * power.squareRoot())
  }

  /// The largest of each block of 64, or of each row, for every element.
  private func largest(_ values: [Double], by count: Int) -> [Double] {
    stride(from: 0, to: values.count, by: count).flatMap { start in
      let part = values[start..<min(start + count, values.count)]
      return [Double](repeating: part.map(abs).max() ?? 0, count: part.count)
    }
  }

  @Test(arguments: sets, [1, 9, 16, 33, 48, 100])
  func forwardStaysWithinItsRoundings(set: String, tokens: Int) throws {
    let backend = try backend(set)
    for (outFeatures, inFeatures) in [(72, 192), (5, 64), (33, 320)] {
      let (weight, values) = try backend.seededWeight(outFeatures, inFeatures, Self.nf4)
      let input = backend.seededTensor([tokens, inFeatures], seed: 3)
      let output = Tensor(zeros: [tokens, outFeatures])
      backend.linear(input, [LinearTerm(weight: weight, output: output)])
      let w = Oracle(outFeatures, inFeatures, values.map(Double.init))
      checkBounds(
        output.floats(), Oracle(input).timesTransposed(w), Oracle(input), w,
        largest(w.values, by: 64))
    }
  }

  @Test(arguments: sets, [9, 48, 100])
  func backwardStaysWithinItsRoundings(set: String, tokens: Int) throws {
    let backend = try backend(set)
    for (outFeatures, inFeatures) in [(72, 192), (5, 64), (330, 64)] {
      let (weight, values) = try backend.seededWeight(outFeatures, inFeatures, Self.nf4)
      let gradient = backend.seededTensor([tokens, outFeatures], seed: 3)
      let found = Tensor(zeros: [tokens, inFeatures])
      backend.linearBackward(
        [LinearGradientTerm(weight: weight, outputGradient: gradient)],
        input: Tensor(zeros: [tokens, inFeatures]), inputGradient: found, accumulating: false)
      // dY takes each row's largest scale, and the weights are shares of it.
      let factors = stride(from: 0, to: values.count, by: inFeatures).map { row in
        values[row..<row + inFeatures].map { Double(abs($0)) }.max() ?? 0
      }
      var left = Oracle(gradient)
      for index in left.values.indices { left.values[index] *= factors[index % outFeatures] }
      var shares = Oracle(outFeatures, inFeatures, values.map(Double.init))
      for index in shares.values.indices { shares.values[index] /= factors[index / inFeatures] }
      let right = shares.transposed
      checkBounds(
        found.floats(), left.timesTransposed(right), left, right,
        [Double](repeating: 1, count: right.values.count))
    }
  }

  /// Rows of the identity pick weights one by one: FP4's are exact, NF4's off by the codebook.
  @Test(arguments: sets)
  func theIdentityShowsTheCodebook(set: String) throws {
    let backend = try backend(set)
    var identity = [Float](repeating: 0, count: 64 * 64)
    for index in 0..<64 { identity[index * 65] = 1 }
    for (type, share) in [(FourBitType.fp4, 1e-6), (.nf4, 1.0 / 4096)] {
      let storage = WeightStorage.fourBit(QuantizationSpec(type: type, doubleQuantized: false))
      let (weight, values) = try backend.seededWeight(24, 64, storage)
      let output = Tensor(zeros: [64, 24])
      backend.linear(
        Tensor(identity, shape: [64, 64]), [LinearTerm(weight: weight, output: output)])
      let units = largest(values.map(Double.init), by: 64)
      for (index, value) in values.enumerated() {
        let found = output.floats()[index % 64 * 24 + index / 64]
        #expect(abs(Double(found - value)) <= share * units[index])
      }
    }
  }

  @Test(arguments: QuantizationSpec.validBlockSizes)
  func everyBlockSizeIsNear(blockSize: Int) throws {
    let spec = WeightStorage.fourBit(QuantizationSpec(blockSize: blockSize))
    for (outFeatures, inFeatures) in [(24, 4096), (24, 96)] {
      try expectNear(tokens: 20, outFeatures, inFeatures, spec, rank: 0)
    }
  }

  /// Adapters and dropout stay fp32; dense weights, and blocks that run over the ends of rows, are
  /// rounded to integers from their decoded values.
  @Test func everyStorageAndAdapterIsNear() throws {
    for rank in [0, 3, 16] { try expectNear(tokens: 50, 40, 128, Self.nf4, rank: rank) }
    for storage in LinearTests.storages {
      for (outFeatures, inFeatures) in [(40, 128), (37, 61), (9, 129), (200, 48)] {
        try expectNear(tokens: 50, outFeatures, inFeatures, storage, rank: 4)
      }
    }
    let mask = DropoutMask(rate: 0.25, key: 5, stream: 42)
    try expectNear(tokens: 60, 40, 64, Self.nf4, rank: 4, dropout: mask)
    // Few tokens are bound by memory, so forward is fp32.
    try expectNear(tokens: 4, 40, 128, Self.nf4, rank: 3, forward: 3e-6)
  }

  /// More rows than one piece of the reduction holds.
  @Test func longReductionsAreCut() throws {
    for storage in [Self.nf4, .dense(.float32), .dense(.bfloat16)] {
      try expectNear(tokens: 20, 4424, 64, storage, rank: 0)
    }
  }

  @Test(arguments: [DType.float32, .bfloat16])
  func theHeadIsNear(dtype: DType) throws {
    var results: [(loss: Double, gradient: Tensor)] = []
    for engine in [ProductEngine.fused, .int16] {
      let backend = try CPUBackend(
        threads: 2, product: engine, instructionSet: Self.sets.first ?? "reference")
      let (head, _) = try backend.seededWeight(1003, 64, .dense(dtype))
      let hidden = backend.seededTensor([70, 64], seed: 3)
      let gradient = Tensor(zeros: [70, 64])
      let rows = (0..<65).map { Int32($0) }
      let loss = backend.linearCrossEntropy(
        hidden, rows: rows, targets: rows.map { $0 * 13 }, head: head, hiddenGradient: gradient)
      results.append((loss, gradient))
      let scores = backend.scoreTokens(hidden, rows: rows, targets: rows, head: head)
      #expect(scores.negativeLogLikelihoods.allSatisfy { $0.isFinite })
    }
    #expect(abs(results[0].loss - results[1].loss) < 1e-4 * results[0].loss)
    #expect(Oracle(results[0].gradient).distance(results[1].gradient) < 6e-4)
  }

  /// Both directions in int16 against fp32 on the same backend's kernels.
  private func expectNear(
    tokens: Int, _ outFeatures: Int, _ inFeatures: Int, _ storage: WeightStorage, rank: Int,
    _ tolerance: Double = 6e-4, forward: Double? = nil, dropout: DropoutMask? = nil
  ) throws {
    var results: [(Tensor, Tensor, Tensor?)] = []
    for engine in [ProductEngine.fused, .int16] {
      let backend = try CPUBackend(
        threads: 2, product: engine, instructionSet: Self.sets.first ?? "reference")
      let (weight, _) = try backend.seededWeight(outFeatures, inFeatures, storage)
      let input = backend.seededTensor([tokens, inFeatures], seed: 3)
      let adapter =
        rank == 0
        ? nil
        : backend.seededAdapter(
          rank: rank, outFeatures, inFeatures, tokens: tokens, dropout: dropout)
      let output = Tensor(zeros: [tokens, outFeatures])
      backend.linear(input, [LinearTerm(weight: weight, adapter: adapter, output: output)])
      let gradient = Tensor(zeros: [tokens, inFeatures])
      let aGradient = rank == 0 ? nil : Tensor(zeros: [rank, inFeatures])
      let bGradient = rank == 0 ? nil : Tensor(zeros: [outFeatures, rank])
      backend.linearBackward(
        [
          LinearGradientTerm(
            weight: weight, adapter: adapter, aGradient: aGradient, bGradient: bGradient,
            outputGradient: backend.seededTensor([tokens, outFeatures], seed: 9))
        ], input: input, inputGradient: gradient, accumulating: false)
      results.append((output, gradient, aGradient))
    }
    #expect(Oracle(results[0].0).distance(results[1].0) < forward ?? tolerance)
    #expect(Oracle(results[0].1).distance(results[1].1) < tolerance)
    #expect(results[0].2?.bytes == results[1].2?.bytes)
  }

  @Test func resultsDependOnNeitherThreadsNorInstructionSet() throws {
    var outputs: [[UInt8]] = []
    for (set, threads) in Self.sets.flatMap({ set in [1, 2, 4].map { (set, $0) } }) {
      let backend = try backend(set, threads: threads)
      let (weight, _) = try backend.seededWeight(200, 576, Self.nf4)
      let input = backend.seededTensor([130, 576], seed: 5)
      let output = Tensor(zeros: [130, 200])
      backend.linear(input, [LinearTerm(weight: weight, output: output)])
      let gradient = Tensor(zeros: [130, 576])
      backend.linearBackward(
        [LinearGradientTerm(weight: weight, outputGradient: output)], input: input,
        inputGradient: gradient, accumulating: false)
      outputs.append(output.bytes + gradient.bytes)
    }
    #expect(outputs.allSatisfy { $0 == outputs.first })
  }

  @Test func aNaNIsNotRoundedAway() throws {
    let backend = try backend(Self.sets.first ?? "reference")
    let (weight, _) = try backend.seededWeight(16, 64, Self.nf4)
    let input = Tensor(zeros: [20, 64])
    input.withMutableElements(Float.self) { ($0[5], $0[64 + 5]) = (.nan, .infinity) }
    let output = Tensor(zeros: [20, 16])
    backend.linear(input, [LinearTerm(weight: weight, output: output)])
    let values = output.floats()
    #expect(values[..<32].allSatisfy(\.isNaN) && values[32...].allSatisfy { $0 == 0 })
  }

  @Test(.enabled(if: CPUBackend.instructionSets.contains("avx2")))
  func kernelsWithoutDotProductsRefuse() {
    #expect(throws: Diagnostic.self) {
      try CPUBackend(threads: 1, product: .int16, instructionSet: "avx2")
    }
  }
}
