// Modules that are trained as a whole beside an adapter, against torch and PEFT: the loss and all
// gradients, on a plain base and on one in NF4.

import QLoRACPU
import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

/// A tiny family with PEFT's values of such modules.
struct TinySaved {
  static let names = [
    "llama-linear", "smollm3", "gemma2", "qwen3", "gpt-neox", "granite", "gpt2",
  ]

  let goldens: SafetensorsFile
  let tiny: TinyFamily
  var model: DecoderModel { tiny.model }

  init(
    _ name: String, _ base: GoldenBase, threads: Int = 2, computeDType: DType = .float32
  ) throws {
    goldens = try SafetensorsFile(path: Goldens.path("saved/\(name).safetensors"))
    tiny = try TinyFamily(
      name, base, threads: threads, adapters: false, computeDType: computeDType)
    let start = "value.base_model.model."
    var adapter = try tiny.adapter()
    adapter.config.modulesToSave = Self.entries(goldens)
    adapter.saved = try goldens.entries.map(\.name).filter { $0.hasPrefix(start) }.map {
      (String($0.dropFirst(start.count)), try goldens.readTensor($0))
    }
    try model.addAdapters(adapter)
  }

  static func entries(_ goldens: SafetensorsFile) -> [String] {
    (goldens.metadata["modules_to_save"] ?? "").split(separator: " ").map(String.init)
  }

  func floats(_ name: String) throws -> [Float] {
    try goldens.readTensor("\(tiny.base.rawValue).\(name)").floats()
  }
}

@Suite struct SavedModulesTests {
  @Test(arguments: TinySaved.names, GoldenBase.allCases)
  func lossAndEveryGradientByName(name: String, base: GoldenBase) throws {
    let saved = try TinySaved(name, base)
    let sum = try saved.model.accumulateGradients(saved.tiny.batch, dropoutStream: 0)
    let count = Double(saved.tiny.batch.rows.count)
    let expected = Double(try saved.floats("loss")[0])
    #expect(abs(sum / count - expected) / expected <= 1e-5)
    #expect(abs(try saved.model.lossSum(saved.tiny.batch) / count - expected) / expected <= 1e-5)
    let prefix = "\(base.rawValue).gradient."
    #expect(
      Set(saved.model.parameters.map { prefix + $0.name })
        == Set(saved.goldens.entries.map(\.name).filter { $0.hasPrefix(prefix) }))
    for parameter in saved.model.parameters {
      let golden = try saved.floats("gradient.\(parameter.name)")
      let found = parameter.gradient.floats().map { $0 / Float(count) }
      let error = relativeError(found, golden)
      #expect(error <= 1e-4, "\(parameter.name): \(error)")
    }
  }

  /// Every policy and number of threads gives the bits of a plain step, in 32 and in 16 bits.
  @Test(arguments: TinySaved.names)
  func policiesChangeNoBit(name: String) throws {
    for dtype in [DType.float32, .bfloat16] {
      func train(_ policy: ActivationPolicy, threads: Int = 2) throws -> [[Float]] {
        let saved = try TinySaved(name, .nf4dq, threads: threads, computeDType: dtype)
        saved.model.activationPolicies = saved.model.activationPolicies.map { _ in policy }
        let sum = try saved.model.accumulateGradients(saved.tiny.batch, dropoutStream: 1)
        return [[Float(sum)]] + saved.model.parameters.map { $0.gradient.floats() }
      }
      let plain = try train(.everything)
      for policy in ActivationPolicy.allCases.dropFirst() {
        #expect(try train(policy) == plain, "\(policy) in \(dtype)")
      }
      #expect(try train(.everything, threads: 3) == plain)
    }
  }

  /// Fresh modules begin with the base's own values, and change nothing before they are trained.
  @Test(arguments: TinySaved.names)
  func freshModulesAreTheBasesOwn(name: String) throws {
    let goldens = try SafetensorsFile(path: Goldens.path("saved/\(name).safetensors"))
    let tiny = try TinyFamily(name, .nf4dq, adapters: false)
    let before = tiny.model.logits(tiny.batch).floats()
    let source = try ModelSource.open(Goldens.path("families/\(name)"))
    var options = AdapterOptions(rank: 2, alpha: 4)
    options.modulesToSave = TinySaved.entries(goldens)
    try tiny.model.addAdapters(options)
    let saved = tiny.model.savedTensors
    #expect(
      Set(saved.map { "value.base_model.model." + $0.name })
        == Set(goldens.entries.map(\.name).filter { $0.hasPrefix("value.") }))
    for (name, tensor) in saved where source.weights.contains(name) {
      #expect(tensor.floats() == (try source.weights.tensor(name).floats()), "\(name)")
    }
    let logits = tiny.model.logits(tiny.batch).floats()
    #expect(zip(logits, before).allSatisfy { abs($0 - $1) <= 1e-5 })
    let bare = tiny.model.withoutAdapters { tiny.model.logits(tiny.batch).floats() }
    #expect(bare == before)
  }

  /// A step without data asks for the memory of a real one.
  @Test(arguments: ["llama-linear", "gemma2"])
  func shapesAloneAskForTheSameMemory(name: String) throws {
    let real = try TinySaved(name, .nf4dq)
    let backend = try #require(real.model.backend as? CPUBackend)
    let hollow = try CPUBackend(threads: 2, isShapeOnly: true)
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("families/\(name)")).shapeOnly, backend: hollow,
      options: LoadOptions(computeDType: .float32)
    ).load()
    var options = AdapterOptions(rank: 2, alpha: 4)
    options.modulesToSave = TinySaved.entries(real.goldens)
    try model.addHollowAdapters(options, tensor: hollow.hollowTensor)
    #expect(model.parameters.map(\.name) == real.model.parameters.map(\.name))
    var peaks: [[Int]] = []
    for (model, pool) in [(real.model, backend.storagePool), (model, hollow.storagePool)] {
      pool.restart()
      var bytes: [Int] = []
      _ = model.accumulateGradients(real.tiny.batch, dropoutStream: 0) { _ in
        bytes.append(pool.statistics.liveBytes)
      }
      peaks.append(bytes + [pool.statistics.peakBytes])
    }
    #expect(peaks[0] == peaks[1])
  }

  @Test func generationAndScoresUseThem() throws {
    let saved = try TinySaved("gemma2", .float32)
    let (model, batch) = (saved.model, saved.tiny.batch)
    let logits = model.logits(batch)
    let cache = model.makeCache()
    let first = Array(batch.tokens[..<batch.bounds[1]])
    let last = logits.rows(first.count - 1..<first.count).floats()
    let next = model.nextLogits(after: first, cache)
    #expect(zip(next, last).allSatisfy { abs($0 - $1) <= 1e-4 })
    let scores = model.score(batch)
    let sum = scores.negativeLogLikelihoods.reduce(0) { $0 + Double($1) }
    #expect(abs(sum - (try model.lossSum(batch))) <= 1e-4)
    let likeliest = DecoderModel.mostLikely(logits)
    #expect(scores.mostLikely == batch.rows.map { Int32(likeliest[Int($0)]) })
  }

  /// Adapters that are exchanged take their modules along.
  @Test func attachedAdaptersHaveThem() throws {
    let saved = try TinySaved("llama-linear", .float32)
    let (model, batch) = (saved.model, saved.tiny.batch)
    let (adapted, bare) = (
      model.logits(batch).floats(),
      model.withoutAdapters { (model.attachedAdapters, model.logits(batch).floats()) }
    )
    let whole = model.attachedAdapters
    model.attachedAdapters = bare.0
    #expect(model.logits(batch).floats() == bare.1)
    model.attachedAdapters = whole
    #expect(model.logits(batch).floats() == adapted)
  }

  @Test(arguments: ["q_proj", "embed", "proj", "", "rotary_emb"])
  func othersAreRefused(entry: String) throws {
    let config = try ModelConfig(configPath: Goldens.path("families/qwen3/config.json"))
    #expect {
      _ = try config.modulesToSave([entry])
    } throws: { ($0 as? Diagnostic)?.code == .taskUnsupported }
  }
}
