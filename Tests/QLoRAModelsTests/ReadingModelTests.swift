// Models that read a text and write another, against transformers and PEFT: logits, loss, the
// gradient of every half of an adapter on a plain base and on one in NF4, and greedy answers.

import QLoRACPU
import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

@Suite struct ReadingModelTests {
  @Test(arguments: TinyT5.names, GoldenBase.allCases)
  func logitsAndLossWithoutAdapters(name: String, base: GoldenBase) throws {
    let tiny = try TinyT5(name, base, adapters: false)
    let all = tiny.model.logits(tiny.batch)
    // Behind each answer's last token stands one more row, which predicts nothing.
    var (found, row) = ([Float](), 0)
    for (_, written) in try TinyT5.rows(tiny.goldens) {
      found += all.rows(row..<row + written.count).floats()
      row += written.count + 1
    }
    let expected = try tiny.floats("logits")
    #expect(found.count == expected.count)
    let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= 1e-4, "largest logit difference \(worst)")
    let loss = try tiny.model.lossSum(tiny.batch) / Double(tiny.batch.rows.count)
    #expect(abs(loss - Double(try tiny.floats("loss")[0])) <= 1e-5)
    let scores = tiny.model.score(tiny.batch).negativeLogLikelihoods
    let sum = scores.reduce(0) { $0 + Double($1) }
    #expect(abs(sum / Double(scores.count) - loss) <= 1e-5)
  }

  @Test(arguments: TinyT5.names, GoldenBase.allCases)
  func everyGradientByName(name: String, base: GoldenBase) throws {
    let tiny = try TinyT5(name, base)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let count = Double(tiny.batch.rows.count)
    #expect(abs(sum / count - Double(try tiny.floats("adapted_loss")[0])) <= 1e-5)
    #expect(
      Set(tiny.model.parameters.map { "adapter." + $0.name })
        == Set(tiny.goldens.entries.map(\.name).filter { $0.hasPrefix("adapter.") }))
    for parameter in tiny.model.parameters {
      let golden = try tiny.floats("gradient.\(parameter.name)")
      let found = parameter.gradient.floats().map { $0 / Float(count) }
      let error = relativeError(found, golden)
      #expect(error <= 1e-4, "\(parameter.name): \(error)")
    }
  }

  /// Packed rows give the sums of rows alone.
  @Test(arguments: TinyT5.names)
  func packingChangesNothing(name: String) throws {
    let packed = try TinyT5(name, .nf4dq)
    let whole = try packed.model.accumulateGradients(packed.batch, dropoutStream: 0)
    let alone = try TinyT5(name, .nf4dq)
    let sum = try TinyT5.rows(alone.goldens).reduce(0.0) {
      $0 + (try alone.model.accumulateGradients(TinyT5.batch([$1]), dropoutStream: 0))
    }
    #expect(abs(whole - sum) <= 1e-4)
    for (one, other) in zip(packed.model.parameters, alone.model.parameters) {
      #expect(relativeError(one.gradient.floats(), other.gradient.floats()) <= 1e-5)
    }
  }

  /// Every policy and number of threads gives the bits of a plain step, in 32 and in 16 bits.
  @Test(arguments: TinyT5.names)
  func policiesChangeNoBit(name: String) throws {
    for dtype in [DType.float32, .bfloat16] {
      func train(_ policy: ActivationPolicy, threads: Int = 2) throws -> [[Float]] {
        let tiny = try TinyT5(name, .nf4dq, threads: threads, computeDType: dtype)
        tiny.model.activationPolicies = tiny.model.activationPolicies.map { _ in policy }
        let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 1)
        return [[Float(sum)]] + tiny.model.parameters.map { $0.gradient.floats() }
      }
      let plain = try train(.everything)
      for policy in ActivationPolicy.allCases.dropFirst() {
        #expect(try train(policy) == plain, "\(policy) in \(dtype)")
      }
      #expect(try train(.everything, threads: 3) == plain)
    }
  }

  /// Greedy search with a cache writes what transformers writes.
  @Test(arguments: TinyT5.names, GoldenBase.allCases)
  func greedyAnswers(name: String, base: GoldenBase) throws {
    let tiny = try TinyT5(name, base, adapters: false)
    let goldens = try tiny.goldens.readTensor("\(base.rawValue).answers")
    let width = goldens.shape[1]
    let expected = goldens.withElements(Int64.self) { $0.map { Int32($0) } }
    for (index, row) in try TinyT5.rows(tiny.goldens).enumerated() {
      let cache = tiny.model.makeCache()
      var next = tiny.model.open(row.read, cache)
      var written: [Int32] = []
      while written.count < width, written.last != 1 {
        let token = Sampler.greedy(tiny.model.nextLogits(after: next, cache))
        written.append(token)
        next = [token]
      }
      let golden = expected[index * width..<(index + 1) * width].prefix { $0 >= 0 }
      #expect(written == Array(golden))
    }
  }

  /// A step without data asks for the memory of a real one.
  @Test(arguments: TinyT5.names)
  func shapesAloneAskForTheSameMemory(name: String) throws {
    let real = try TinyT5(name, .nf4dq)
    let backend = try #require(real.model.backend as? CPUBackend)
    let hollow = try CPUBackend(threads: 2, isShapeOnly: true)
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("seq2seq/\(name)")).shapeOnly, backend: hollow,
      options: LoadOptions(computeDType: .float32)
    ).load()
    try model.addHollowAdapters(AdapterOptions(rank: 2, alpha: 4), tensor: hollow.hollowTensor)
    #expect(model.weightBytes == real.model.weightBytes)
    #expect(model.parameters.map(\.name) == real.model.parameters.map(\.name))
    var peaks: [[Int]] = []
    for (model, pool) in [(real.model, backend.storagePool), (model, hollow.storagePool)] {
      pool.restart()
      var bytes: [Int] = []
      _ = model.accumulateGradients(real.batch, dropoutStream: 0) { _ in
        bytes.append(pool.statistics.liveBytes)
      }
      peaks.append(bytes + [pool.statistics.peakBytes])
    }
    #expect(peaks[0] == peaks[1])
  }

  /// Weights are loaded in the order that the model tells, and taken back as they were.
  @Test(arguments: TinyT5.names)
  func weightsAreLoadedInTheModelsOrder(name: String) throws {
    var loaded: [String] = []
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("seq2seq/\(name)")),
      backend: try CPUBackend(threads: 1), options: LoadOptions(computeDType: .float32),
      keeping: { module, weight in
        loaded.append(module)
        return weight
      }
    ).load()
    #expect(model.weightsByModule.map(\.module) == loaded)
    let source = try ModelSource.open(Goldens.path("seq2seq/\(name)"))
    #expect(Set(source.config.weightShapes.map(\.name)) == Set(source.weights.names))
    for (name, shape) in source.config.weightShapes {
      #expect(try source.weights.shape(of: name) == shape, "\(name)")
    }
    for linear in model.linears { #expect(source.config.isLinear(linear.name)) }
  }
}
