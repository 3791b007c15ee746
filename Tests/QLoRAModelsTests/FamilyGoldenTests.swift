// Every family against transformers: logits, loss and the gradient of every half of an adapter, on
// a plain base and on one in NF4.

import Foundation
import QLoRACPU
import QLoRAFormats
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

@Suite struct FamilyGoldenTests {
  @Test func thereIsOneOfEachFamily() throws {
    let families = try TinyFamily.names.map {
      try ModelConfig(configPath: Goldens.path("families/\($0)/config.json")).family
    }
    // Encoders predict no next token: `ClassifierGoldenTests` have them. `ReadingModelTests` have
    // those that read one text and write another.
    let decoders = ModelFamily.allCases.filter { !$0.isEncoder && !$0.readsAndWrites }
    #expect(Set(families) == Set(decoders))
  }

  @Test(arguments: TinyFamily.names, GoldenBase.allCases)
  func logitsAndLossWithoutAdapters(name: String, base: GoldenBase) throws {
    let tiny = try TinyFamily(name, base, adapters: false)
    let logits = tiny.model.logits(tiny.batch).floats()
    let expected = try tiny.floats("logits")
    #expect(logits.count == expected.count)
    let worst = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= 1e-4, "largest logit difference \(worst)")
    let loss = try tiny.model.lossSum(tiny.batch) / Double(tiny.batch.rows.count)
    #expect(abs(loss - Double(try tiny.floats("loss")[0])) <= 1e-5)
  }

  @Test(arguments: TinyFamily.names, GoldenBase.allCases)
  func everyGradientByName(name: String, base: GoldenBase) throws {
    let tiny = try TinyFamily(name, base)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let count = Double(tiny.batch.rows.count)
    let expectedLoss = Double(try tiny.floats("adapted_loss")[0])
    #expect(abs(sum / count - expectedLoss) / expectedLoss <= 1e-5)
    let linears = tiny.model.linears
    #expect(tiny.model.parameters.count == 2 * linears.count)
    for (linear, index) in zip(linears, stride(from: 0, to: 2 * linears.count, by: 2)) {
      for (half, parameter) in zip(["A", "B"], tiny.model.parameters[index..<index + 2]) {
        let golden = try tiny.floats("gradient.\(linear.name).\(half)")
        let found = parameter.gradient.floats().map { $0 / Float(count) }
        // An expert that no token chose has a gradient of zeros.
        let error = golden.contains { $0 != 0 } ? relativeError(found, golden) : 0
        #expect(error <= 1e-4, "\(linear.name) \(half): \(error)")
        #expect(golden.contains { $0 != 0 } == found.contains { $0 != 0 })
      }
    }
  }

  /// The same model in a GGUF file, as llama.cpp's converter lays it out.
  @Test(arguments: TinyFamily.namesOfGGUF, GoldenBase.allCases)
  func logitsFromGGUF(name: String, base: GoldenBase) throws {
    let tiny = try TinyFamily(name, base, adapters: false)
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("families/\(name)/model.gguf")),
      backend: tiny.model.backend,
      options: LoadOptions(quantization: base.quantization, computeDType: .float32)
    ).load()
    #expect(model.linears.map(\.name) == tiny.model.linears.map(\.name))
    let expected = try tiny.floats("logits")
    let logits = model.logits(tiny.batch).floats()
    let worst = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= 1e-4, "largest logit difference \(worst)")
  }

  /// Every policy gives the bits of a plain step, in 32 and in 16 bits.
  @Test(arguments: TinyFamily.names)
  func policiesChangeNoBit(name: String) throws {
    for dtype in [DType.float32, .bfloat16] {
      func train(_ policy: ActivationPolicy, threads: Int = 2) throws -> [[Float]] {
        let tiny = try TinyFamily(name, .nf4dq, threads: threads, computeDType: dtype)
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

  @Test(arguments: TinyFamily.names)
  func halfPrecisionStaysNear(name: String) throws {
    let tiny = try TinyFamily(name, .nf4dq, computeDType: .bfloat16)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let expected = Double(try tiny.floats("adapted_loss")[0])
    #expect(abs(sum / Double(tiny.batch.rows.count) - expected) / expected <= 0.02)
  }

  /// A file of weights is written as they are loaded and read in the order that the model tells.
  @Test(arguments: TinyFamily.names)
  func weightsAreLoadedInTheModelsOrder(name: String) throws {
    var loaded: [String] = []
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("families/\(name)")),
      backend: try CPUBackend(threads: 1), options: LoadOptions(computeDType: .float32),
      keeping: { module, weight in
        loaded.append(module)
        return weight
      }
    ).load()
    #expect(model.weightsByModule.map(\.module) == loaded)
    let blocks = Set(loaded.compactMap(ModelLoader.block))
    #expect(blocks == Set(0..<model.config.layers))
    let prepared = Dictionary(model.weightsByModule.map { ($0.module, $0.weight) }) { $1 }
    let again = try ModelLoader(
      try ModelSource.open(Goldens.path("families/\(name)")),
      backend: model.backend, options: LoadOptions(computeDType: .float32), prepared: prepared,
      keeping: { module, weight in
        Issue.record("\(module) was prepared and is made again")
        return weight
      }
    ).load()
    #expect(again.weightBytes == model.weightBytes)
  }

  /// Row by row as generation feeds them: a few at once, then one by one.
  @Test(arguments: TinyFamily.names)
  func incrementalDecodingEqualsOneForwardPass(name: String) throws {
    let tiny = try TinyFamily(name, .nf4dq)
    let row = tiny.batch.row(0)
    // Its rotary positions depend on the length of what is seen.
    if name == "llama-dynamic" || name == "phi3" { return }
    let whole = tiny.model.logits(row).floats()
    let cache = tiny.model.makeCache()
    let vocabulary = tiny.model.config.vocabularySize
    var fed = 0
    for count in [10, 1, 1, 3, 5] {
      let logits = tiny.model.nextLogits(after: Array(row.tokens[fed..<fed + count]), cache)
      fed += count
      let expected = Array(whole[(fed - 1) * vocabulary..<fed * vocabulary])
      #expect(relativeError(logits, expected) <= 1e-5, "after \(fed) tokens")
    }
  }

  /// A step without data asks for the memory of a real one; experts share tokens evenly there.
  @Test(arguments: TinyFamily.names.filter {
    !["mixtral", "olmoe"].contains($0) && !$0.hasPrefix("qwen3-moe")
  })
  func shapesAloneAskForTheSameMemory(name: String) throws {
    let real = try TinyFamily(name, .nf4dq)
    let backend = try #require(real.model.backend as? CPUBackend)
    let hollow = try CPUBackend(threads: 2, isShapeOnly: true)
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("families/\(name)")).shapeOnly, backend: hollow,
      options: LoadOptions(computeDType: .float32)
    ).load()
    try model.addHollowAdapters(AdapterOptions(rank: 2, alpha: 4), tensor: hollow.hollowTensor)
    #expect(model.weightBytes == real.model.weightBytes)
    for policy in ActivationPolicy.allCases {
      var peaks: [[Int]] = []
      for (model, pool) in [(real.model, backend.storagePool), (model, hollow.storagePool)] {
        model.activationPolicies = model.activationPolicies.map { _ in policy }
        pool.restart()
        var bytes: [Int] = []
        _ = model.accumulateGradients(real.batch, dropoutStream: 0) { _ in
          bytes.append(pool.statistics.liveBytes)
        }
        peaks.append(bytes + [pool.statistics.peakBytes, pool.statistics.extentBytes])
      }
      #expect(peaks[0] == peaks[1], "\(policy)")
    }
  }
}
