// One product of the kernel tests, timed: forward and backward, with and without an adapter.
import COpenBLAS
import ProductCases
import QLoRACPU
import QLoRATensor

struct ProductBenchmark {
  private let fused: CPUBackend
  private let openBLAS: CPUBackend
  /// nil where this CPU has no 16-bit dot products.
  private let int16: CPUBackend?
  private let timer: AlternatingTimer
  private let size: ProductCase
  private let weight: any PreparedWeight
  private let eightBit: any PreparedWeight
  private let adapter: AdapterTerm
  private let input: Tensor
  private let output: Tensor
  /// The input in bf16 and room for its product; nil where bf16 products are fp32 ones.
  private let half: (input: Tensor, output: Tensor)?
  private let decoded: Tensor

  init(
    fused: CPUBackend, openBLAS: CPUBackend, int16: CPUBackend?, timer: AlternatingTimer,
    of size: ProductCase, rank: Int
  ) throws {
    (self.fused, self.openBLAS, self.int16) = (fused, openBLAS, int16)
    (self.timer, self.size) = (timer, size)
    weight = try fused.rampWeight(size.outFeatures, size.inFeatures)
    eightBit = try fused.rampWeight(size.outFeatures, size.inFeatures, .int8(Int8Spec()))
    adapter = fused.seededAdapter(
      rank: rank, size.outFeatures, size.inFeatures, tokens: size.tokens)
    input = fused.seededTensor([size.tokens, size.inFeatures], seed: 3)
    output = fused.seededTensor([size.tokens, size.outFeatures], seed: 9)
    half =
      fused.roundsProducts(of: .bfloat16)
      ? (
        fused.seededTensor([size.tokens, size.inFeatures], .bfloat16, seed: 3),
        Tensor(uninitialized: [size.tokens, size.outFeatures], .bfloat16)
      ) : nil
    decoded = Tensor(uninitialized: [size.outFeatures, size.inFeatures], .float32)
  }

  private var operations: Double {
    2 * Double(size.tokens) * Double(size.outFeatures) * Double(size.inFeatures)
  }

  typealias Record = [(name: String, value: String)]

  private func record(_ operation: String, _ timing: Timing, _ more: Record = []) -> Record {
    [
      ("operation", "\"\(operation)\""), ("tokens", "\(size.tokens)"),
      ("outFeatures", "\(size.outFeatures)"), ("inFeatures", "\(size.inFeatures)"),
      ("seconds", "\(timing.seconds)"),
      ("gigaflops", "\(rounded(operations / timing.seconds / 1e9))"),
      ("shareOfPeak", "\(rounded(timing.shareOfPeak(operations)))"),
    ] + more
  }

  func records() -> [Record] { [forward()] + backward() }

  private func forward() -> Record {
    let term = LinearTerm(weight: weight, output: output)
    let adapted = LinearTerm(weight: weight, adapter: adapter, output: output)
    // Apart from OpenBLAS, whose turns leave other things in the caches.
    let own = timer.run([{ fused.linear(input, [term]) }, { fused.linear(input, [adapted]) }])
    let times = timer.run([
      { fused.linear(input, [term]) }, { openBLAS.linear(input, [term]) }, { multiplyThreaded() },
    ])
    let others =
      overInt16 { $0.linear(input, [term]) }
      + overHalf({ fused.linear(input, [term]) }) {
        fused.linear($0.input, [LinearTerm(weight: weight, output: $0.output)])
      }
    return record("linear", own[0], others + overEightBit() + [
      ("adapterShare", "\(rounded(own[0].ratio(of: own[1]) - 1))"),
      ("openBLASShareOfPeak", "\(rounded(times[1].shareOfPeak(operations)))"),
      ("openBLASOverFused", "\(rounded(times[0].ratio(of: times[1])))"),
      ("openBLASThreadsOverFused", "\(rounded(times[0].ratio(of: times[2])))"),
    ])
  }

  /// The gradient of the input alone, with the adapter's part of it, and with dA and dB as well.
  private func backward() -> [Record] {
    let gradient = Tensor(zeros: input.shape)
    let (a, b) = (Tensor(zeros: adapter.a.shape), Tensor(zeros: adapter.b.shape))
    func body(_ term: LinearGradientTerm) -> () -> Void {
      return {
        fused.linearBackward(
          [term], input: input, inputGradient: gradient, accumulating: false)
      }
    }
    let times = timer.run([
      body(LinearGradientTerm(weight: weight, outputGradient: output)),
      body(LinearGradientTerm(weight: weight, adapter: adapter, outputGradient: output)),
      body(
        LinearGradientTerm(
          weight: weight, adapter: adapter, aGradient: a, bGradient: b, outputGradient: output)),
    ])
    let branch = times[0].ratio(of: times[1]) - 1
    let plain = LinearGradientTerm(weight: weight, outputGradient: output)
    func back(_ backend: CPUBackend, _ input: Tensor) {
      backend.linearBackward([plain], input: input, inputGradient: gradient, accumulating: false)
    }
    let others =
      overInt16 { back($0, input) }
      + overHalf({ back(fused, input) }) { back(fused, $0.input) }
    return [
      record("linearBackward", times[0], others + [
        ("adapterShare", "\(rounded(branch))"),
        ("adapterGradientsShare", "\(rounded(times[0].ratio(of: times[2]) - 1 - branch))"),
      ])
    ]
  }

  /// How many times as long fp32 takes as 16-bit integers do.
  private func overInt16(_ body: @escaping (CPUBackend) -> Void) -> Record {
    guard let int16 else { return [] }
    let times = timer.run([{ body(int16) }, { body(fused) }])
    return [("fusedOverInt16", "\(rounded(times[0].ratio(of: times[1])))")]
  }

  /// The same of fp32 with 4-bit weights and of LLM.int8, whose inputs have no outliers here.
  private func overEightBit() -> Record {
    let term = LinearTerm(weight: weight, output: output)
    let mixed = LinearTerm(weight: eightBit, output: output, isInference: true)
    let times = timer.run([{ fused.linear(input, [mixed]) }, { fused.linear(input, [term]) }])
    return [("fusedOverInt8", "\(rounded(times[0].ratio(of: times[1])))")]
  }

  /// The same of fp32 and bf16, and bf16's rate.
  private func overHalf(
    _ whole: () -> Void, _ body: (_ half: (input: Tensor, output: Tensor)) -> Void
  ) -> Record {
    guard let half else { return [] }
    return withoutActuallyEscaping(whole) { whole in
      withoutActuallyEscaping(body) { body in
        let times = timer.run([{ body(half) }, { whole() }])
        return [
          ("fusedOverBfloat16", "\(rounded(times[0].ratio(of: times[1])))"),
          ("bfloat16Gigaflops", "\(rounded(operations / times[0].seconds / 1e9))"),
        ]
      }
    }
  }

  /// The other way to use OpenBLAS: our threads decode the whole weight, then OpenBLAS's own
  /// threads multiply.
  private func multiplyThreaded() {
    fused.decode(weight, rows: 0..<weight.outFeatures, into: decoded)
    openblas_set_num_threads(Int32(fused.threadPool.threads))
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, Int32(input.shape[0]), Int32(weight.outFeatures),
      Int32(weight.inFeatures), 1, input.pointer(Float.self), Int32(weight.inFeatures),
      decoded.pointer(Float.self), Int32(weight.inFeatures), 0, output.pointer(Float.self),
      Int32(weight.outFeatures))
    openblas_set_num_threads(1)
  }
}

extension CPUBackend {
  /// A quantized weight of a repeated ramp: which values it holds changes no time.
  func rampWeight(
    _ outFeatures: Int, _ inFeatures: Int,
    _ storage: WeightStorage = .fourBit(QuantizationSpec())
  ) throws -> any PreparedWeight {
    let builder = try makeWeightBuilder(
      outFeatures: outFeatures, inFeatures: inFeatures, storage)
    let row = (0..<inFeatures).map { Float($0 % 23) / 23 - 0.5 }
    for _ in 0..<outFeatures { try row.withUnsafeBufferPointer { try builder.append($0) } }
    return try builder.finish()
  }
}
