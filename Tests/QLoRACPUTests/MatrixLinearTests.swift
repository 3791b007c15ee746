// Products that round both factors to bf16, against an fp64 oracle of the same roundings.
// The scalar kernels run everywhere, so that every machine checks the code around them.
import CQLoRAKernels
import ProductCases
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

extension Oracle {
  /// Every element rounded to bf16.
  var rounded: Oracle {
    Oracle(
      rows, columns,
      values.map { Double(Float(bitPattern: UInt32(Float($0).bfloat16Bits) << 16)) })
  }

  /// The root of the mean square of the differences, relative to that of the elements.
  func meanDistance(_ tensor: Tensor) -> Double {
    let squares = zip(values, tensor.floats()).reduce(0) { sum, pair in
      sum + (pair.0 - Double(pair.1)) * (pair.0 - Double(pair.1))
    }
    return (squares / values.reduce(1e-300) { $0 + $1 * $1 }).squareRoot()
  }
}

struct MatrixLinearTests {
  /// Instruction sets with kernels of bf16 products; the reference is always among them.
  static let sets = CPUBackend.instructionSets.filter {
    qlora_kernels_for($0)?.pointee.matrix != nil
  }
  /// fp32 sums, and parameters with 16 of their bits.
  static let sums = 3e-6
  static let parameters = 2e-5
  /// A low-rank activation at the border of two bf16 may be rounded to either.
  static let borders = 2e-3

  private struct Case {
    let backend: CPUBackend
    let weight: any PreparedWeight
    let w: Oracle
    let input: Tensor
    let adapter: AdapterTerm
    let tokens: Int

    init(
      _ set: String, tokens: Int, _ outFeatures: Int, _ inFeatures: Int, _ storage: WeightStorage,
      rank: Int, dropout: DropoutMask? = nil, threads: Int = 2
    ) throws {
      backend = try CPUBackend(threads: threads, product: .fused, instructionSet: set)
      let (weight, values) = try backend.seededWeight(outFeatures, inFeatures, storage)
      self.weight = weight
      w = Oracle(outFeatures, inFeatures, values.map(Double.init)).rounded
      input = backend.seededTensor([tokens, inFeatures], .bfloat16, seed: 3)
      adapter = backend.seededAdapter(
        rank: rank, outFeatures, inFeatures, tokens: tokens, dropout: dropout)
      self.tokens = tokens
    }

    /// What the branch reads: the input, or its masked and rounded copy.
    var source: Oracle {
      adapter.dropout.map { Oracle(backend.dropped(input, $0)).rounded } ?? Oracle(input)
    }
  }

  private func checkForward(_ it: Case) {
    let output = Tensor(uninitialized: [it.tokens, it.weight.outFeatures], .float32)
    let bias = it.backend.seededTensor([it.weight.outFeatures], seed: 4)
    it.backend.linear(
      it.input, [LinearTerm(weight: it.weight, bias: bias, adapter: it.adapter, output: output)])
    let projected = it.source.timesTransposed(Oracle(it.adapter.a))
    #expect(projected.distance(it.adapter.projected) < Self.parameters)
    // The scale is applied in fp32, before the one rounding.
    let low = Oracle(
      it.tokens, it.adapter.a.shape[0],
      it.adapter.projected.floats().map { Double($0 * it.adapter.scale) }
    ).rounded
    var expected = Oracle(it.input).timesTransposed(it.w)
      .plus(low.timesTransposed(Oracle(it.adapter.b)))
    let biases = bias.floats().map(Double.init)
    for index in expected.values.indices { expected.values[index] += biases[index % biases.count] }
    #expect(expected.distance(output) < Self.parameters)

    let plain = Tensor(uninitialized: output.shape, .bfloat16)
    it.backend.linear(it.input, [LinearTerm(weight: it.weight, output: plain)])
    #expect(Oracle(it.input).timesTransposed(it.w).rounded.distance(plain) < 1.01 / 256)
  }

  private func checkBackward(_ it: Case) {
    it.backend.linear(
      it.input,
      [
        LinearTerm(
          weight: it.weight, adapter: it.adapter,
          output: Tensor(zeros: [it.tokens, it.weight.outFeatures]))
      ])
    let gradient = it.backend.seededTensor([it.tokens, it.weight.outFeatures], seed: 9)
    let inputGradient = it.backend.seededTensor(it.input.shape, seed: 10)
    let aGradient = it.backend.seededTensor(it.adapter.a.shape, seed: 13)
    let bGradient = it.backend.seededTensor(it.adapter.b.shape, seed: 14)
    let before = [inputGradient, aGradient, bGradient].map(Oracle.init)
    let term = LinearGradientTerm(
      weight: it.weight, adapter: it.adapter, aGradient: aGradient, bGradient: bGradient,
      outputGradient: gradient)
    it.backend.linearBackward(
      [term], input: it.input, inputGradient: inputGradient, accumulating: true)

    let (dy, a, b) = (Oracle(gradient).rounded, Oracle(it.adapter.a), Oracle(it.adapter.b))
    let scale = Double(it.adapter.scale)
    let low = Oracle(it.tokens, a.rows, dy.times(b).values.map { $0 * scale })
    var branch = low.rounded.times(a)
    if let dropout = it.adapter.dropout {
      let ones = Tensor([Float](repeating: 1, count: it.input.count), shape: it.input.shape)
      let mask = it.backend.dropped(ones, dropout).floats().map(Double.init)
      for index in mask.indices { branch.values[index] *= mask[index] }
    }
    let dx = before[0].plus(dy.times(it.w)).plus(branch)
    #expect(dx.distance(inputGradient) < Self.borders)
    #expect(dx.meanDistance(inputGradient) < 5 * Self.parameters)
    #expect(before[1].plus(low.transposed.times(it.source)).distance(aGradient) < Self.parameters)
    let u = Oracle(it.adapter.projected)
    #expect(
      before[2].plus(dy.transposed.times(u), scale: scale).distance(bGradient) < Self.parameters)
  }

  @Test(arguments: sets, [9, 31, 32, 33, 100])
  func everyStorageMatchesTheOracle(set: String, tokens: Int) throws {
    for storage in LinearTests.storages {
      let it = try Case(set, tokens: tokens, 72, 192, storage, rank: 6)
      checkForward(it)
      checkBackward(it)
    }
  }

  @Test(arguments: sets)
  func oddShapesMatchTheOracle(set: String) throws {
    let storage = WeightStorage.fourBit(QuantizationSpec())
    for (outFeatures, inFeatures, rank) in [(1, 1, 1), (37, 61, 3), (9, 129, 17), (65, 48, 40)] {
      for storage in [storage, .dense(.bfloat16)] {
        let it = try Case(set, tokens: 50, outFeatures, inFeatures, storage, rank: rank)
        checkForward(it)
        checkBackward(it)
      }
    }
  }

  @Test(arguments: sets)
  func dropoutMasksTheBranchOnly(set: String) throws {
    let mask = DropoutMask(rate: 0.25, key: 0xDEAD_BEEF_0123_4567, stream: 42)
    let it = try Case(
      set, tokens: 60, 40, 64, .fourBit(QuantizationSpec()), rank: 4, dropout: mask)
    checkForward(it)
    checkBackward(it)
  }

  @Test(arguments: sets)
  func resultsDoNotDependOnTheNumberOfThreads(set: String) throws {
    var outputs: [[UInt8]] = []
    for threads in [1, 2, 4] {
      let it = try Case(
        set, tokens: 130, 200, 320, .fourBit(QuantizationSpec()), rank: 8, threads: threads)
      let output = Tensor(zeros: [130, 200])
      it.backend.linear(
        it.input, [LinearTerm(weight: it.weight, adapter: it.adapter, output: output)])
      let dx = Tensor(zeros: [130, 320])
      let (da, db) = (Tensor(zeros: [8, 320]), Tensor(zeros: [200, 8]))
      let term = LinearGradientTerm(
        weight: it.weight, adapter: it.adapter, aGradient: da, bGradient: db,
        outputGradient: it.backend.seededTensor([130, 200], seed: 6))
      it.backend.linearBackward(
        [term, term], input: it.input, inputGradient: dx, accumulating: false)
      outputs.append([output, it.adapter.projected, dx, da, db].flatMap(\.bytes))
    }
    #expect(outputs[0] == outputs[1] && outputs[1] == outputs[2])
  }
}
