// 8-bit weights against bitsandbytes' own results and against an oracle in double precision.
import ProductCases
import QLoRATensor
import TestSupport
import Testing

import QLoRACPU

struct Int8LinearTests {
  /// A golden case with everything that bitsandbytes was given rounded to fp16 as it does.
  private struct Golden {
    let weight: Tensor
    let bias: Tensor
    let input: Tensor
    let codes: Tensor
    let scales: Tensor
    let output: [Float]
    let trainingOutput: [Float]

    init(_ name: String) throws {
      let goldens = try QuantizationGoldens("llm_int8.safetensors")
      func tensor(_ part: String) throws -> Tensor {
        try #require(goldens.tensor("\(name).\(part)"))
      }
      func halves(_ part: String) throws -> Tensor {
        let tensor = try tensor(part)
        return Tensor(tensor.floats().map { Float(Float16($0)) }, shape: tensor.shape)
      }
      weight = try tensor("weight")
      bias = try halves("bias")
      input = try halves("input")
      codes = try tensor("CB")
      scales = try tensor("SCB")
      output = try tensor("output").floats()
      trainingOutput = try tensor("output_training").floats()
    }
  }

  private func weight(
    _ golden: Golden, threshold: Float, _ backend: CPUBackend
  ) throws -> any PreparedWeight {
    let builder = try backend.makeWeightBuilder(
      outFeatures: 48, inFeatures: 80, .int8(Int8Spec(threshold: threshold)))
    let values = golden.weight.floats()
    try builder.fill { _ = $1.update(fromContentsOf: values[$0]) }
    return try builder.finish()
  }

  /// What bitsandbytes rounds to fp16 on the way and we do not, per result: the weights of products
  /// in fp16, their sum with the rest, and the result.
  private func roundings(_ golden: Golden, threshold: Float, isInference: Bool) -> [Double] {
    let x = golden.input.floats()
    let weights = golden.weight.floats()
    let isWhole = (0..<80).map { column in
      !isInference || threshold > 0 && (0..<9).contains { abs(x[$0 * 80 + column]) >= threshold }
    }
    let expected = isInference ? golden.output : golden.trainingOutput
    return expected.indices.map { index in
      let (token, row) = (index / 48, index % 48)
      let whole = (0..<80).filter { isWhole[$0] }.reduce(0.0) {
        $0 + abs(Double(x[token * 80 + $1]) * Double(weights[row * 80 + $1]))
      }
      return 0x1p-11 * (2 * whole + 2 * abs(Double(expected[index])))
    }
  }

  @Test(arguments: CPUBackend.instructionSets, [Float(0), 6])
  func equalsBitsandbytes(instructionSet: String, threshold: Float) throws {
    let golden = try Golden("threshold\(Int(threshold))")
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let weight = try weight(golden, threshold: threshold, backend)
    let matrix = try #require(backend.int8Matrix(weight))
    #expect(matrix.codes.bytes == golden.codes.bytes)
    #expect(matrix.scales.bytes == golden.scales.bytes)
    let again = try #require(
      backend.int8Matrix(try backend.prepare(matrix, Int8Spec(threshold: threshold))))
    #expect(again.codes.bytes == golden.codes.bytes && again.scales.bytes == golden.scales.bytes)
    for isInference in [true, false] {
      let output = Tensor(zeros: [9, 48])
      backend.linear(
        golden.input,
        [
          LinearTerm(
            weight: weight, bias: golden.bias, output: output, isInference: isInference)
        ])
      let expected = isInference ? golden.output : golden.trainingOutput
      let bounds = roundings(golden, threshold: threshold, isInference: isInference)
      for (index, found) in output.floats().enumerated() {
        let distance = abs(Double(found) - Double(expected[index]))
        #expect(distance <= bounds[index], "inference: \(isInference), \(index)")
      }
    }
  }

  /// With activations of fp16, as the goldens were made, nothing but the order of sums differs.
  @Test(arguments: CPUBackend.instructionSets, [Float(0), 6])
  func equalsBitsandbytesInHalfPrecision(instructionSet: String, threshold: Float) throws {
    let golden = try Golden("threshold\(Int(threshold))")
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let input = Tensor(uninitialized: [9, 80], .float16)
    backend.convert(golden.input, into: input)
    let output = Tensor(uninitialized: [9, 48], .float16)
    backend.linear(
      input,
      [
        LinearTerm(
          weight: try weight(golden, threshold: threshold, backend), bias: golden.bias,
          output: output, isInference: true)
      ])
    let wide = Tensor(zeros: [9, 48])
    backend.convert(output, into: wide)
    for (found, expected) in zip(wide.floats(), golden.output) {
      #expect(abs(found - expected) <= Float(Float16(expected).ulp))
    }
  }

  /// The definition in double precision: what bitsandbytes computes, from `x` on.
  private func oracle(_ x: Tensor, _ matrix: Int8Matrix, threshold: Float) -> Oracle {
    let (tokens, columns, rows) = (x.shape[0], x.shape[1], matrix.shape[0])
    let values = x.floats()
    let halves = values.map { Float(Float16($0)) }
    let codes = matrix.codes.bytes.map { Double(Int8(bitPattern: $0)) }
    let scales = matrix.scales.floats().map(Double.init)
    let isOutlier = { threshold > 0 && abs(halves[$0]) >= threshold }
    let outliers = (0..<columns).filter { column in
      (0..<tokens).contains { isOutlier($0 * columns + column) }
    }
    var result = Oracle(tokens, rows, [Double](repeating: 0, count: tokens * rows))
    for token in 0..<tokens {
      let places = token * columns..<(token + 1) * columns
      let largest = places.filter { !isOutlier($0) }.map { abs(halves[$0]) }.max() ?? 0
      for row in 0..<rows {
        var (sum, rest) = (0.0, 0.0)
        for column in 0..<columns {
          let place = token * columns + column
          let weight = codes[row * columns + column]
          if outliers.contains(column) {
            rest += Double(values[place]) * weight * scales[row] / 127
          } else if largest > 0 {
            sum += Double((halves[place] * (1 / largest * 127)).rounded(.toNearestOrEven)) * weight
          }
        }
        result.values[token * rows + row] =
          sum * Double(largest) * scales[row] * Double(Float(6.200124e-05)) + rest
      }
    }
    return result
  }

  /// Normals of which some, in few columns, are far outside.
  private func activations(_ tokens: Int, _ columns: Int, _ backend: CPUBackend) -> Tensor {
    let x = backend.seededTensor([tokens, columns], seed: 3)
    x.withMutableElements(Float.self) { values in
      for index in values.indices where index % columns % 41 == 7 && index % 3 == 0 {
        values[index] *= 30
      }
    }
    return x
  }

  @Test(arguments: CPUBackend.instructionSets, [1, 2, 9, 12, 100, 130])
  func inferenceMatchesItsDefinition(instructionSet: String, tokens: Int) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    for (rows, columns) in [(72, 192), (37, 61), (1, 3), (33, 130)] {
      for threshold: Float in [0, 6, 10] {
        let (weight, _) = try backend.seededWeight(
          rows, columns, .int8(Int8Spec(threshold: threshold)))
        let x = activations(tokens, columns, backend)
        let matrix = try #require(backend.int8Matrix(weight))
        let bias = backend.seededTensor([rows], seed: 4)
        let adapter = backend.seededAdapter(rank: 6, rows, columns, tokens: tokens)
        var expected = oracle(x, matrix, threshold: threshold)
        for index in expected.values.indices {
          expected.values[index] += Double(bias[flat: index % rows])
        }
        let low = Oracle(x).timesTransposed(Oracle(adapter.a))
        expected = expected.plus(low.timesTransposed(Oracle(adapter.b)), scale: 0.5)
        let output = Tensor(zeros: [tokens, rows])
        backend.linear(
          x,
          [
            LinearTerm(
              weight: weight, bias: bias, adapter: adapter, output: output, isInference: true)
          ])
        #expect(expected.distance(output) < 2e-6, "\(rows)x\(columns), threshold \(threshold)")
        #expect(low.distance(adapter.projected) < 2e-6)
      }
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func bfloat16RoundsOutliersToItsOwnPrecision(instructionSet: String) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let (weight, _) = try backend.seededWeight(72, 192, .int8(Int8Spec()))
    let x = activations(20, 192, backend)
    let narrow = Tensor(uninitialized: x.shape, .bfloat16)
    backend.convert(x, into: narrow)
    let output = Tensor(uninitialized: [20, 72], .bfloat16)
    backend.linear(narrow, [LinearTerm(weight: weight, output: output, isInference: true)])
    let matrix = try #require(backend.int8Matrix(weight))
    let wide = Tensor(zeros: x.shape)
    backend.convert(narrow, into: wide)
    // The sum is rounded before the outliers are added and after it, and so are their weights.
    #expect(oracle(wide, matrix, threshold: 6).distance(output) < 2.5 / 256)
  }

  @Test func quantizedAndPlainTermsShareACall() throws {
    let backend = try CPUBackend(threads: 2)
    let x = backend.seededTensor([20, 64], seed: 5)
    let storages: [WeightStorage] = [.int8(Int8Spec()), .dense(.float32), .int8(Int8Spec())]
    let terms = try storages.enumerated().map { index, storage in
      LinearTerm(
        weight: try backend.seededWeight(40, 64, storage, seed: UInt64(index)).0,
        output: Tensor(zeros: [20, 40]), isInference: true)
    }
    backend.linear(x, terms)
    for term in terms {
      let alone = Tensor(zeros: [20, 40])
      backend.linear(x, [LinearTerm(weight: term.weight, output: alone, isInference: true)])
      #expect(alone.bytes == term.output.bytes)
      #expect(alone.floats().contains { $0 != 0 })
    }
  }

  @Test func resultsDoNotDependOnThreadsOrInstructionSets() throws {
    var outputs: Set<[UInt8]> = []
    for set in CPUBackend.instructionSets {
      for threads in [1, 2, 4] {
        let backend = try CPUBackend(threads: threads, instructionSet: set)
        let (weight, _) = try backend.seededWeight(200, 576, .int8(Int8Spec(threshold: 0)))
        let output = Tensor(zeros: [130, 200])
        backend.linear(
          activations(130, 576, backend),
          [LinearTerm(weight: weight, output: output, isInference: true)])
        outputs.insert(output.bytes)
      }
    }
    #expect(outputs.count == 1)
  }

  @Test(arguments: [Float.nan, .infinity])
  func whatIsNoNumberComesOut(value: Float) throws {
    let backend = try CPUBackend(threads: 2)
    let (weight, _) = try backend.seededWeight(40, 64, .int8(Int8Spec()))
    let x = backend.seededTensor([3, 64], seed: 5)
    x.withMutableElements(Float.self) { $0[70] = value }
    let output = Tensor(zeros: [3, 40])
    backend.linear(x, [LinearTerm(weight: weight, output: output, isInference: true)])
    #expect(output.floats()[40..<80].allSatisfy { !$0.isFinite })
  }
}
