// Attention, forward and backward, on every instruction set against the double-precision oracle.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

/// All that attention and its gradient compute, between guard bytes.
struct AttentionResults {
  let output: GuardedTensor
  let logSumExp: GuardedTensor
  let queryGradient: GuardedTensor
  let keyGradient: GuardedTensor
  let valueGradient: GuardedTensor

  init(_ data: AttentionData, on backend: CPUBackend) {
    let problem = data.problem
    output = GuardedTensor(problem.queryShape, problem.dtype)
    logSumExp = GuardedTensor([problem.heads, problem.tokens])
    queryGradient = GuardedTensor(problem.queryShape)
    keyGradient = GuardedTensor(problem.keyShape)
    valueGradient = GuardedTensor(problem.keyShape)
    backend.attention(
      query: data.query, key: data.key, value: data.value, layout: problem.layout,
      bounds: problem.bounds, into: output.tensor, logSumExp: logSumExp.tensor)
    backend.attentionBackward(
      data.outputGradient, query: data.query, key: data.key, value: data.value,
      output: output.tensor, logSumExp: logSumExp.tensor, layout: problem.layout,
      bounds: problem.bounds, queryGradient: queryGradient.tensor,
      keyGradient: keyGradient.tensor, valueGradient: valueGradient.tensor)
  }

  var all: [GuardedTensor] { [output, logSumExp, queryGradient, keyGradient, valueGradient] }
  var bytes: [[UInt8]] { all.map(\.tensor.bytes) }
}

struct AttentionTests {
  static let cases: [AttentionCase] =
    [1, 7, 16, 47, 48, 49, 97].map {
      AttentionCase(lengths: [$0], heads: 4, kvHeads: 2, headSize: 16)
    } + [
      AttentionCase(lengths: [512], heads: 1, kvHeads: 1, headSize: 64),
      AttentionCase(lengths: [97, 1, 48, 7], heads: 9, kvHeads: 3, headSize: 64),
      AttentionCase(lengths: [50, 31], heads: 2, kvHeads: 1, headSize: 128),
      AttentionCase(lengths: [49], heads: 2, kvHeads: 2, headSize: 24),
      AttentionCase(lengths: [53], heads: 1, kvHeads: 1, headSize: 256),
      AttentionCase(lengths: [60], heads: 2, kvHeads: 1, headSize: 8),
    ] + windowed + [[1], [7], [16], [48], [49, 1, 97], [300]].map {
      AttentionCase(lengths: $0, heads: 4, kvHeads: 2, headSize: 24, isCausal: false)
    }

  /// Windows and caps: smaller and larger than tiles, at their borders, beyond the sequence.
  static let windowed: [AttentionCase] = [1, 2, 16, 47, 48, 49, 60, 100, 300].flatMap { window in
    [Float(0), 1.5].map { cap in
      AttentionCase(
        lengths: [200, 1, 70], heads: 4, kvHeads: 2, headSize: 16, window: window, softCap: cap)
    }
  }

  @Test(arguments: CPUBackend.instructionSets, cases)
  func agreesWithTheOracle(_ instructionSet: String, _ problem: AttentionCase) throws {
    let data = AttentionData(problem)
    let found = AttentionResults(data, on: try backend(instructionSet))
    let expected = data.oracle.forward()
    let gradients = data.oracle.backward(data.outputGradient.floats().map(Double.init))
    #expect(relativeError(found.output.tensor.floats(), expected.output) < 3e-6)
    #expect(relativeError(found.logSumExp.tensor.floats(), expected.logSumExp) < 1e-6)
    // With one key the softmax is constant, and both gradients are differences of equal terms of
    // about 1.
    #expect(relativeError(found.queryGradient.tensor.floats(), gradients.query, floor: 1) < 4e-6)
    #expect(relativeError(found.keyGradient.tensor.floats(), gradients.key, floor: 1) < 4e-6)
    #expect(relativeError(found.valueGradient.tensor.floats(), gradients.value) < 4e-6)
    #expect(found.all.allSatisfy { $0.isIntact })
  }

  @Test(arguments: CPUBackend.instructionSets)
  func bfloat16DiffersByItsRoundingOnly(_ instructionSet: String) throws {
    let problem = AttentionCase(
      lengths: [61, 40], heads: 9, kvHeads: 3, headSize: 64, dtype: .bfloat16)
    let data = AttentionData(problem)
    let backend = try backend(instructionSet)
    let found = AttentionResults(data, on: backend)
    let expected = data.oracle.forward()
    let gradients = data.oracle.backward(data.outputGradient.floats().map(Double.init))
    #expect(relativeError(found.logSumExp.tensor.floats(), expected.logSumExp) < 1e-6)
    if backend.roundsAttention {
      // Probabilities are rounded as well, each by at most 2^-9 of itself.
      #expect(relativeError(found.output.tensor.floats(), expected.output) < 0x1p-7)
      #expect(relativeError(found.queryGradient.tensor.floats(), gradients.query) < 0.01)
      #expect(relativeError(found.keyGradient.tensor.floats(), gradients.key) < 0.01)
      #expect(relativeError(found.valueGradient.tensor.floats(), gradients.value) < 0x1p-8)
      #expect(found.all.allSatisfy { $0.isIntact })
      return
    }
    for (value, exact) in zip(found.output.tensor.floats(), expected.output) {
      #expect(abs(Double(value) - exact) <= abs(exact) * 0x1p-8 + 1e-6)
    }
    // The kept output was rounded, so rowsum(dO∘O) and what follows from it are, too.
    #expect(relativeError(found.queryGradient.tensor.floats(), gradients.query) < 0.01)
    #expect(relativeError(found.keyGradient.tensor.floats(), gradients.key) < 0.01)
    #expect(relativeError(found.valueGradient.tensor.floats(), gradients.value) < 4e-6)
    #expect(found.all.allSatisfy { $0.isIntact })
  }

  /// Head sizes and lengths of all kinds, in the type that bf16 products take.
  @Test(arguments: MatrixKernelTests.sets, [8, 24, 64, 128, 256])
  func bfloat16ProductsAgreeWithTheOracle(_ instructionSet: String, headSize: Int) throws {
    let lengths = [[1], [31, 33], [130, 7], [300]]
    for (lengths, isCausal) in lengths.flatMap({ [($0, true), ($0, false)] }) {
      let problem = AttentionCase(
        lengths: lengths, heads: 4, kvHeads: 2, headSize: headSize, dtype: .bfloat16,
        isCausal: isCausal)
      let data = AttentionData(problem)
      let found = AttentionResults(data, on: try backend(instructionSet))
      let expected = data.oracle.forward()
      let gradients = data.oracle.backward(data.outputGradient.floats().map(Double.init))
      #expect(relativeError(found.output.tensor.floats(), expected.output) < 0x1p-7)
      #expect(relativeError(found.queryGradient.tensor.floats(), gradients.query, floor: 1) < 0.02)
      #expect(relativeError(found.keyGradient.tensor.floats(), gradients.key, floor: 1) < 0.02)
      #expect(relativeError(found.valueGradient.tensor.floats(), gradients.value) < 0x1p-7)
      #expect(found.all.allSatisfy { $0.isIntact })
    }
  }

  /// What bf16 products take, with a window or a cap that it hands on.
  @Test(arguments: CPUBackend.instructionSets, [(7, Float(0)), (0, 2), (50, 2)])
  func windowsAndCapsOfBfloat16(_ instructionSet: String, _ form: (Int, Float)) throws {
    let problem = AttentionCase(
      lengths: [130], heads: 4, kvHeads: 2, headSize: 32, dtype: .bfloat16, window: form.0,
      softCap: form.1)
    let data = AttentionData(problem)
    let found = AttentionResults(data, on: try backend(instructionSet))
    let expected = data.oracle.forward()
    let gradients = data.oracle.backward(data.outputGradient.floats().map(Double.init))
    #expect(relativeError(found.output.tensor.floats(), expected.output) < 0x1p-7)
    #expect(relativeError(found.queryGradient.tensor.floats(), gradients.query, floor: 1) < 0.02)
    #expect(relativeError(found.valueGradient.tensor.floats(), gradients.value) < 0x1p-7)
    #expect(found.all.allSatisfy { $0.isIntact })
  }

  @Test(arguments: CPUBackend.instructionSets)
  func sequencesOfAPackDoNotSeeEachOther(_ instructionSet: String) throws {
    let backend = try backend(instructionSet)
    let problem = AttentionCase(lengths: [49, 1, 100], heads: 4, kvHeads: 2, headSize: 16)
    let data = AttentionData(problem)
    let packed = AttentionResults(data, on: backend)
    for (start, end) in zip(problem.bounds, problem.bounds.dropFirst()) {
      var apart = problem
      apart.lengths = [end - start]
      let output = GuardedTensor(apart.queryShape)
      let logSumExp = GuardedTensor([4, end - start])
      backend.attention(
        query: data.query.rows(start..<end), key: data.key.rows(start..<end),
        value: data.value.rows(start..<end), layout: apart.layout, bounds: apart.bounds,
        into: output.tensor, logSumExp: logSumExp.tensor)
      #expect(output.tensor.bytes == packed.output.tensor.rows(start..<end).bytes)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func threadsDoNotChangeABit(_ instructionSet: String) throws {
    let data = AttentionData(
      AttentionCase(lengths: [70, 49, 97], heads: 6, kvHeads: 2, headSize: 32))
    let one = AttentionResults(data, on: try backend(instructionSet, threads: 1)).bytes
    for threads in [2, 4] {
      let more = AttentionResults(data, on: try backend(instructionSet, threads: threads)).bytes
      #expect(more == one)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func extremeLogitsStayFinite(_ instructionSet: String) throws {
    // Products of ±200 and ±200 over 16 elements, times 1/4, reach beyond ±1e4.
    let data = AttentionData(
      AttentionCase(lengths: [97], heads: 2, kvHeads: 1, headSize: 16, spread: 100))
    let found = AttentionResults(data, on: try backend(instructionSet))
    let logits = data.oracle.forward().logSumExp.map(abs).max()!
    #expect(logits > 1e4)
    for result in found.all { #expect(result.tensor.floats().allSatisfy { $0.isFinite }) }
    #expect(relativeError(found.output.tensor.floats(), data.oracle.forward().output) < 0.02)
  }

  @Test(arguments: CPUBackend.instructionSets)
  func aNaNIsNotHidden(_ instructionSet: String) throws {
    let data = AttentionData(AttentionCase(lengths: [20], heads: 1, kvHeads: 1, headSize: 16))
    data.key[flat: 3 * 16] = .nan
    let output = AttentionResults(data, on: try backend(instructionSet)).output.tensor.floats()
    #expect(output[..<(3 * 16)].allSatisfy { $0.isFinite })
    #expect(output[(3 * 16)...].allSatisfy { $0.isNaN })
  }

  @Test(arguments: [
    AttentionCase(lengths: [5, 3], heads: 4, kvHeads: 2, headSize: 8, window: 3, softCap: 0.7),
    AttentionCase(lengths: [5, 3], heads: 4, kvHeads: 2, headSize: 8, isCausal: false),
    AttentionCase(
      lengths: [5, 3], heads: 4, kvHeads: 2, headSize: 8, isCausal: false, softCap: 0.7),
  ])
  func theOracleAgreesWithFiniteDifferences(_ problem: AttentionCase) {
    let data = AttentionData(problem)
    let gradient = data.outputGradient.floats().map(Double.init)
    let oracle = data.oracle
    let analytic = oracle.backward(gradient)
    func loss(_ query: [Double], _ key: [Double], _ value: [Double]) -> Double {
      let moved = AttentionOracle(
        layout: oracle.layout, query: query, key: key, value: value, bounds: oracle.bounds)
      return zip(moved.forward().output, gradient).reduce(0) { $0 + $1.0 * $1.1 }
    }
    func slope(_ values: [Double], _ index: Int, _ loss: ([Double]) -> Double) -> Double {
      var (up, down) = (values, values)
      up[index] += 1e-5
      down[index] -= 1e-5
      return (loss(up) - loss(down)) / 2e-5
    }
    for index in stride(from: 0, to: oracle.key.count, by: 5) {
      let q = slope(oracle.query, index) { loss($0, oracle.key, oracle.value) }
      let k = slope(oracle.key, index) { loss(oracle.query, $0, oracle.value) }
      let v = slope(oracle.value, index) { loss(oracle.query, oracle.key, $0) }
      #expect(abs(q - analytic.query[index]) < 1e-7)
      #expect(abs(k - analytic.key[index]) < 1e-7)
      #expect(abs(v - analytic.value[index]) < 1e-7)
    }
  }
}
