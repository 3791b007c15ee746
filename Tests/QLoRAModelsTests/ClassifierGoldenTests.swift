// Models that tell classes apart against transformers and PEFT: logits, loss and the gradient of
// every half of an adapter and of the whole head, on a plain base and on one in NF4.

import QLoRACPU
import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

@Suite struct ClassifierGoldenTests {
  @Test(arguments: TinyClassifier.names, GoldenBase.allCases)
  func logitsAndLoss(name: String, base: GoldenBase) throws {
    let tiny = try TinyClassifier(name, base)
    let logits = try tiny.model.classLogits(tiny.batch).floats()
    let expected = try tiny.floats("logits")
    #expect(logits.count == expected.count)
    let worst = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= 1e-4, "largest logit difference \(worst)")
    let found = try tiny.model.evaluate(tiny.batch)
    let loss = found.lossSum / Double(tiny.batch.targets.count)
    #expect(abs(loss - Double(try tiny.floats("loss")[0])) <= 1e-5)
    let classes = DecoderModel.mostLikely(Tensor(expected, shape: [expected.count / 3, 3]))
    #expect(found.correct == zip(classes, tiny.batch.targets).count { $0 == $1 })
  }

  @Test(arguments: TinyClassifier.names, GoldenBase.allCases)
  func everyGradientByName(name: String, base: GoldenBase) throws {
    let tiny = try TinyClassifier(name, base)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let count = Double(tiny.batch.targets.count)
    #expect(abs(sum / count - Double(try tiny.floats("loss")[0])) <= 1e-5)
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

  /// Every policy and number of threads gives the bits of a plain step, in 32 and in 16 bits.
  @Test(arguments: TinyClassifier.names)
  func policiesChangeNoBit(name: String) throws {
    for dtype in [DType.float32, .bfloat16] {
      func train(_ policy: ActivationPolicy, threads: Int = 2) throws -> [[Float]] {
        let tiny = try TinyClassifier(name, .nf4dq, threads: threads, computeDType: dtype)
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

  /// A step without data asks for the memory of a real one.
  @Test(arguments: TinyClassifier.names)
  func shapesAloneAskForTheSameMemory(name: String) throws {
    let real = try TinyClassifier(name, .nf4dq)
    let backend = try #require(real.model.backend as? CPUBackend)
    let hollow = try CPUBackend(threads: 2, isShapeOnly: true)
    var options = LoadOptions(computeDType: .float32)
    options.classes = ClassOptions(count: TinyClassifier.classes)
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("classifiers/\(name)")).shapeOnly, backend: hollow,
      options: options
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
      peaks.append(bytes + [pool.statistics.peakBytes, pool.statistics.extentBytes])
    }
    #expect(peaks[0] == peaks[1])
  }

  /// A fresh head is a function of the seed, and a trained pooler takes the file's values.
  @Test func headsAreDrawnFromTheSeed() throws {
    func head(_ seed: UInt64, pooler: Bool) throws -> [String: [Float]] {
      var options = LoadOptions(quantization: nil, computeDType: .float32)
      options.classes = ClassOptions(count: 5, trainsPooler: pooler)
      let model = try ModelLoader(
        try ModelSource.open(Goldens.path("classifiers/bert")), backend: try CPUBackend(threads: 1),
        options: options
      ).load()
      try model.addAdapters(AdapterOptions(rank: 2, seed: seed))
      let tensors = try #require(model.classifier).tensors
      return Dictionary(tensors.map { ($0.name, $0.tensor.floats()) }) { $1 }
    }
    let first = try head(1, pooler: false)
    #expect(try head(1, pooler: false) == first && head(2, pooler: false) != first)
    let weight = try #require(first["classifier.weight"])
    let deviation = (weight.reduce(0) { $0 + $1 * $1 } / Float(weight.count)).squareRoot()
    #expect(weight.count == 5 * 32 && (0.015...0.025).contains(deviation))
    #expect(first["classifier.bias"] == [0, 0, 0, 0, 0])
    let source = try ModelSource.open(Goldens.path("classifiers/bert"))
    let pooler = try source.weights.tensor("bert.pooler.dense.weight").floats()
    #expect(try head(1, pooler: true)["bert.pooler.dense.weight"] == pooler)
  }

  @Test func whatDoesNotFitIsRefused() throws {
    func code(_ body: () throws -> Void) -> DiagnosticCode? {
      do {
        try body()
      } catch { return (error as? Diagnostic)?.code }
      return nil
    }
    let source = try ModelSource.open(Goldens.path("classifiers/bert"))
    let backend = try CPUBackend(threads: 1)
    #expect(
      code {
        _ = try ModelLoader(source, backend: backend, options: LoadOptions()).load()
      } == .taskUnsupported)
    var options = LoadOptions(quantization: nil)
    options.classes = ClassOptions(count: 4)
    let model = try ModelLoader(source, backend: backend, options: options).load()
    let tiny = try TinyClassifier("bert", .float32)
    #expect(code { _ = try model.classLogits(tiny.batch) } == .headMissing)
    #expect(code { try model.addAdapters(try tiny.adapter()) } == .adapterMismatch)
    let llama = try TinyLlama(.float32, adapters: false).model
    #expect(code { try llama.addAdapters(try tiny.adapter()) } == .adapterMismatch)
  }
}
