// Layers on the disk change where weights are and nothing that is computed from them.
import Foundation
import QLoRADiagnostics
import QLoRAModels
import QLoRAPipeline
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

@Suite struct LayerPlacementTests {
  private static let gpu = DeviceRoom("cuda", bytes: 25)
  private static let cpu = DeviceRoom("cpu", bytes: 30)
  private static let disk = DeviceRoom("disk", bytes: .max)

  @Test(arguments: [
    ([10, 10, 10], [disk], ["disk", "disk", "disk"]),
    ([10, 10, 10, 10], [cpu, disk], ["cpu", "cpu", "cpu", "disk"]),
    ([10, 10, 10, 10, 10, 10], [gpu, cpu, disk], ["cuda", "cuda", "cpu", "cpu", "cpu", "disk"]),
    // Once a device is left it gets nothing more, though the last layer would fit.
    ([20, 20, 20, 5], [gpu, cpu, disk], ["cuda", "cpu", "disk", "disk"]),
    ([40, 1], [gpu, cpu, disk], ["disk", "disk"]), ([30], [cpu], ["cpu"]), ([], [], []),
    ([0, 0], [DeviceRoom("cpu", bytes: 0)], ["cpu", "cpu"]),
  ])
  func devicesAreFilledInOrder(layers: [Int], rooms: [DeviceRoom], expected: [String]) {
    #expect(LayerPlacement.fill(layers, rooms) == expected)
  }

  @Test func withoutADiskThereMayBeNoRoom() {
    #expect(LayerPlacement.fill([31], [Self.cpu]) == nil)
    #expect(LayerPlacement.fill([1], []) == nil)
  }
}

@Suite struct PlacementTests {
  /// Runs with everything the placement could disturb: recomputation, evaluation, 16-bit
  /// activations, weights that no cache keeps, states on the disk.
  static let settings: [[String]] = [
    [], ["model.computeDType=bfloat16", "training.activationMemory=full", "threads=2"],
    ["model.quantization.type=none", "data.packing=true"],
    ["model.quantization.skip=[\"up_proj\"]", "training.optimizer.type=pagedadamw"],
    ["adapter.targets=[\"down_proj\"]"],
    ["model.quantization.type=int8", "model.computeDType=float16"],
  ]

  /// What a run leaves in its folder, but for answers, which are not asked of a model on the disk,
  /// and with event files, which are named by the second, under one name.
  private func files(_ deep: DeepTiny, _ run: String) throws -> Set<String> {
    let names = try PosixFileSystem().list(deep.tiny.folder.path(run))
    return Set(names.map { $0.hasPrefix("events.out.") ? "events" : $0 })
      .subtracting(["samples.jsonl"])
  }

  @Test(arguments: settings)
  func runsHaveTheSameBits(settings: [String]) throws {
    let deep = try DeepTiny()
    try deep.tiny.train("memory", settings)
    let expected = try deep.tiny.result("memory")
    let names = try files(deep, "memory")
    for kept in [0, 4] {
      // More threads need more memory to work in.
      let threads = settings + ["threads=\(3 - kept / 2)"]
      let machine = try deep.machine(holding: kept, threads)
      var onDisk: Int?
      _ = try Pipeline.train(
        deep.tiny.recipe("disk-\(kept)", threads), on: machine,
        events: { if case .prepared(let run) = $0 { onDisk = run.layersOnDisk } })
      #expect(onDisk == DeepTiny.layers - kept)
      #expect(try deep.tiny.result("disk-\(kept)") == expected, "\(kept) in memory")
      #expect(try files(deep, "disk-\(kept)") == names)
    }
  }

  /// With the cache, which the first start fills while it streams and the others read.
  @Test func theCacheHoldsTheSameBase() throws {
    let deep = try DeepTiny()
    var warnings: [Diagnostic] = []
    let cache = WeightCache(deep.tiny.folder.path("cache")) { warnings.append($0) }
    try deep.tiny.train("memory")
    let expected = try deep.tiny.result("memory")
    let machine = try deep.machine(holding: 2)
    for output in ["first", "second"] {
      _ = try Pipeline.train(
        deep.tiny.recipe(output), cache: cache, on: machine, events: { _ in })
      #expect(try deep.tiny.result(output) == expected)
    }
    #expect(cache.entries().count == 1)
    try cache.verify(try #require(cache.entries().first))
    try deep.tiny.train("third", cache: cache)
    #expect(try deep.tiny.result("third") == expected)
    #expect(try PosixFileSystem().list(cache.folder).count == 1 && warnings.isEmpty)
    // Where the cache has no room, a file of the run takes its place.
    let small = WeightCache(deep.tiny.folder.path("small"), byteLimit: 9) { warnings.append($0) }
    _ = try Pipeline.train(
      deep.tiny.recipe("small-cache"), cache: small, on: machine, events: { _ in })
    #expect(try deep.tiny.result("small-cache") == expected)
    #expect(warnings.map(\.code) == [.cacheUnwritable])
  }

  /// Another machine, with another placement, goes on with the same bits.
  @Test func aRunIsResumedElsewhere() throws {
    let deep = try DeepTiny()
    try deep.tiny.train("whole")
    let stop = StopAfter(polls: 11)
    let outcome = try Pipeline.train(
      deep.tiny.recipe("cut", ["maxMemory.cpu=64GiB"]), on: try deep.machine(holding: 6),
      interruption: stop.poll, events: { _ in })
    #expect(outcome.interrupted)
    _ = try Pipeline.resume(
      runDirectory: deep.tiny.folder.path("cut"), on: try deep.machine(holding: 1),
      interruption: { nil }, events: { _ in })
    #expect(try deep.tiny.result("cut") == deep.tiny.result("whole"))
  }

  @Test func evaluationAndGenerationHaveTheSameBits() throws {
    let deep = try DeepTiny()
    for load in [LoadOptions(), LoadOptions(quantization: nil, computeDType: .float32)] {
      let request = ModelRequest(path: deep.tiny.modelPath, load: load, threads: 1)
      let whole = try LoadedModel.load(request)
      let expected = CachedTiny.logits(whole)
      var found = try LoadedModel.load(request, on: deep.smallMachine)
      #expect(found.model.weightBytes < whole.model.weightBytes)
      for _ in 0..<2 { #expect(CachedTiny.logits(found) == expected) }
      found = try LoadedModel.load(request, on: deep.smallMachine)
      let batch = TokenBatch(length: 20, total: 40)
      #expect(try found.model.lossSum(batch) == whole.model.lossSum(batch))
      #expect(found.model.logits(batch).floats() == whole.model.logits(batch).floats())
      try found.model.checkWeights()
    }
  }

  /// A disk that fails is an error of the step, not a wrong result and not a crash.
  @Test func aFailingDiskEndsTheStep() throws {
    let deep = try DeepTiny()
    let cache = WeightCache(deep.tiny.folder.path("cache")) { _ in }
    let request = ModelRequest(path: deep.tiny.modelPath, threads: 1)
    let loaded = try LoadedModel.load(request, cache: cache, on: deep.smallMachine)
    _ = CachedTiny.logits(loaded)
    try loaded.model.checkWeights()
    let entry = try #require(cache.entries().first)
    let file = try #require(FileHandle(forUpdatingAtPath: entry.path + "/weights.bin"))
    try file.truncate(atOffset: 1000)
    _ = CachedTiny.logits(loaded)
    let error = #expect(throws: Diagnostic.self) { try loaded.model.checkWeights() }
    #expect(error?.code.exitCode == .inputOutput)
    #expect(throws: Diagnostic.self) { try loaded.model.lossSum(TokenBatch(length: 9, total: 9)) }
  }

  @Test func theForecastCountsWhatIsInMemory() throws {
    let deep = try DeepTiny()
    let whole = try deep.plan(on: deep.largeMachine)
    #expect(!whole.placement.usesDisk && whole.memory.readAheadBytes == 0)
    #expect(whole.disk.layerBytes == 0)
    for kept in 0..<6 {
      let machine = try deep.machine(holding: kept)
      let plan = try deep.plan(on: machine)
      #expect(plan.placement.layers(on: "cpu") == Array(0..<kept))
      #expect(plan.placement.layers(on: "disk") == Array(kept..<DeepTiny.layers))
      #expect(plan.memory.weightBytes + plan.placement.diskBytes == whole.memory.weightBytes)
      #expect(plan.memory.peakBytes <= machine.availableBytes ?? 0)
      #expect(plan.disk.layerBytes >= plan.placement.diskBytes && plan.fits)
    }
  }

  @Test func aBudgetThatCannotBeKeptIsRefused() throws {
    let deep = try DeepTiny()
    let least = try deep.plan(on: deep.smallMachine).memory.peakBytes + MemoryBudget.slackBytes
    let settings = { (bytes: Int) in ["maxMemory.cpu=\(bytes)"] }
    let plan = try deep.plan(settings(least), on: deep.largeMachine)
    #expect(plan.placement.layers(on: "disk").count == DeepTiny.layers)
    for (settings, least) in [
      (settings(least - 1), least),
      (settings(least) + ["device=cpu"],
       try deep.plan(on: deep.largeMachine).memory.peakBytes + MemoryBudget.slackBytes),
    ] {
      let error = #expect(throws: Diagnostic.self) {
        try deep.plan(settings, on: deep.largeMachine)
      }
      #expect(error?.code.number == "E0563" && error?.code.exitCode == .wouldNotFit)
      #expect(error?.message.hasSuffix("\((least + (1 << 20) - 1) >> 20)MiB") == true)
      #expect(throws: Diagnostic.self) {
        try Pipeline.train(
          deep.tiny.recipe("refused", settings), on: deep.largeMachine, events: { _ in })
      }
      #expect(!FileManager.default.fileExists(atPath: deep.tiny.folder.path("refused")))
    }
    // What the machine happens to have is no promise: as little as possible is taken of it.
    #expect(try deep.plan(on: deep.machine(bytes: 1 << 20)).problem?.code == .memoryExceeded)
  }
}
