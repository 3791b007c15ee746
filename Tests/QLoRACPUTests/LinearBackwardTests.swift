// Gradients of products against an fp64 oracle and against differences of the forward.
import ProductCases
import QLoRATensor
import TestSupport
import Testing

import QLoRACPU

struct LinearBackwardTests {
  private func check(
    _ backend: CPUBackend, tokens: Int, _ outFeatures: Int, _ inFeatures: Int,
    _ storage: WeightStorage, rank: Int, dtype: DType = .float32, dropout: DropoutMask? = nil
  ) throws {
    let (weight, values) = try backend.seededWeight(outFeatures, inFeatures, storage)
    let input = backend.seededTensor([tokens, inFeatures], dtype, seed: 3)
    let adapter = backend.seededAdapter(
      rank: rank, outFeatures, inFeatures, tokens: tokens, dropout: dropout)
    let output = Tensor(zeros: [tokens, outFeatures])
    backend.linear(input, [LinearTerm(weight: weight, adapter: adapter, output: output)])
    let gradient = backend.seededTensor([tokens, outFeatures], seed: 9)
    let inputGradient = backend.seededTensor([tokens, inFeatures], seed: 10)
    let before = Oracle(inputGradient)
    let aGradient = backend.seededTensor([rank, inFeatures], seed: 13)
    let bGradient = backend.seededTensor([outFeatures, rank], seed: 14)
    let (aBefore, bBefore) = (Oracle(aGradient), Oracle(bGradient))
    let term = LinearGradientTerm(
      weight: weight, adapter: adapter, aGradient: aGradient, bGradient: bGradient,
      outputGradient: gradient)
    backend.linearBackward(
      [term], input: input, inputGradient: inputGradient, accumulating: true)

    let w = Oracle(outFeatures, inFeatures, values.map(Double.init))
    let (dy, a, b) = (Oracle(gradient), Oracle(adapter.a), Oracle(adapter.b))
    let low = dy.times(b)
    var branch = low.times(a)
    var x = Oracle(input)
    if let dropout {
      let ones = Tensor([Float](repeating: 1, count: input.count), shape: input.shape)
      let mask = backend.dropped(ones, dropout).floats().map(Double.init)
      #expect(mask.contains(0) && mask.contains { $0 > 1 })
      for index in mask.indices {
        branch.values[index] *= mask[index]
        x.values[index] *= mask[index]
      }
    }
    let dx = before.plus(dy.times(w)).plus(branch, scale: 0.5)
    #expect(dx.distance(inputGradient) < 3e-6)
    #expect(aBefore.plus(low.transposed.times(x), scale: 0.5).distance(aGradient) < 3e-6)
    let u = x.timesTransposed(a)
    #expect(bBefore.plus(dy.transposed.times(u), scale: 0.5).distance(bGradient) < 3e-6)
  }

  @Test(arguments: CPUBackend.instructionSets, [1, 7, 48, 49, 100])
  func gradientsMatchTheOracle(instructionSet: String, tokens: Int) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    for storage in LinearTests.storages {
      try check(backend, tokens: tokens, 72, 192, storage, rank: 8)
    }
    try check(backend, tokens: tokens, 37, 61, .fourBit(QuantizationSpec()), rank: 3)
    try check(backend, tokens: tokens, 37, 61, .dense(.bfloat16), rank: 17)
    try check(
      backend, tokens: tokens, 40, 64, .fourBit(QuantizationSpec()), rank: 4, dtype: .float16)
    // Where bf16 products are rounded, MatrixLinearTests has their oracle.
    if backend.roundsProducts(of: .bfloat16) { return }
    try check(
      backend, tokens: tokens, 40, 64, .fourBit(QuantizationSpec()), rank: 4, dtype: .bfloat16)
  }

  @Test(arguments: CPUBackend.instructionSets)
  func dropoutMasksTheBranchOnly(instructionSet: String) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let mask = DropoutMask(rate: 0.25, key: 0xDEAD_BEEF_0123_4567, stream: 42)
    for tokens in [5, 60] {
      try check(
        backend, tokens: tokens, 40, 64, .fourBit(QuantizationSpec()), rank: 4, dropout: mask)
    }
  }

  @Test func manyTokensAreCutIntoParts() throws {
    let backend = try CPUBackend(threads: 2)
    try check(backend, tokens: 1100, 24, 64, .fourBit(QuantizationSpec()), rank: 8)
  }

  @Test func manyRowsAreReducedInBlocks() throws {
    let backend = try CPUBackend(threads: 2)
    try check(backend, tokens: 10, 2100, 48, .dense(.float32), rank: 2)
  }

  @Test func resultsDoNotDependOnTheNumberOfThreads() throws {
    var outputs: [[UInt8]] = []
    for threads in [1, 2, 4] {
      let backend = try CPUBackend(threads: threads)
      let (weight, _) = try backend.seededWeight(200, 320, .fourBit(QuantizationSpec()))
      let input = backend.seededTensor([130, 320], seed: 5)
      let adapter = backend.seededAdapter(rank: 8, 200, 320, tokens: 130)
      backend.linear(
        input, [LinearTerm(weight: weight, adapter: adapter, output: Tensor(zeros: [130, 200]))])
      let dx = Tensor(zeros: [130, 320])
      let (da, db) = (Tensor(zeros: [8, 320]), Tensor(zeros: [200, 8]))
      let term = LinearGradientTerm(
        weight: weight, adapter: adapter, aGradient: da, bGradient: db,
        outputGradient: backend.seededTensor([130, 200], seed: 6))
      backend.linearBackward([term, term], input: input, inputGradient: dx, accumulating: false)
      outputs.append(dx.bytes + da.bytes + db.bytes)
    }
    #expect(outputs[0] == outputs[1] && outputs[1] == outputs[2])
  }

  /// d(Σ dY·Y)/dx by central differences; the map is linear in x, so the step may be large.
  @Test func differencesOfTheForwardAgree() throws {
    let backend = try CPUBackend(threads: 2)
    let (weight, _) = try backend.seededWeight(16, 64, .fourBit(QuantizationSpec()))
    let input = backend.seededTensor([12, 64], seed: 3)
    let adapter = backend.seededAdapter(rank: 4, 16, 64, tokens: 12)
    let output = Tensor(zeros: [12, 16])
    let gradient = backend.seededTensor([12, 16], seed: 9)
    func value() -> Double {
      backend.linear(input, [LinearTerm(weight: weight, adapter: adapter, output: output)])
      return zip(output.floats(), gradient.floats()).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    _ = value()
    let dx = Tensor(zeros: [12, 64])
    let (da, db) = (Tensor(zeros: [4, 64]), Tensor(zeros: [16, 4]))
    let term = LinearGradientTerm(
      weight: weight, adapter: adapter, aGradient: da, bGradient: db, outputGradient: gradient)
    backend.linearBackward([term], input: input, inputGradient: dx, accumulating: false)
    for (tensor, found) in [(input, dx), (adapter.a, da), (adapter.b, db)] {
      for index in stride(from: 0, to: tensor.count, by: 37) {
        let old = tensor[flat: index]
        tensor[flat: index] = old + 0.5
        let above = value()
        tensor[flat: index] = old - 0.5
        let below = value()
        tensor[flat: index] = old
        #expect(abs(above - below - Double(found[flat: index])) < 1e-3)
      }
    }
  }
}
