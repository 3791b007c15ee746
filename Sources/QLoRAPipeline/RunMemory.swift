// What a recipe's run will take, and what each block of its model keeps: found before any weight is
// read.

import QLoRACUDA
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor

/// What a run's memory is used for.
struct Arrangement {
  /// What each block keeps until backward.
  let policies: [ActivationPolicy]
  let layout: WeightLayout
  var memory: MemoryForecast
  let device: ComputeDevice
  /// What weights may take of a GPU's memory where not all have room there.
  var deviceWeightBytes: Int?
  /// What device `auto` took and why, where there was a choice.
  var choice: String?
  /// Why it can't be run: the GPU that was asked for has no room.
  var problem: Diagnostic?

  /// A recipe's request, for what was arranged.
  func request(_ recipe: Recipe) -> ModelRequest {
    var request = recipe.modelRequest(on: device)
    request.poolBytes = memory.poolBytes
    request.deviceWeightBytes = deviceWeightBytes
    return request
  }
}

struct RunMemory {
  private let recipe: Recipe
  private let source: ModelSource
  private let data: RunData

  init(_ recipe: Recipe, source: ModelSource, data: RunData) {
    self.recipe = recipe
    self.source = source
    self.data = data
  }

  /// - Parameter machine: before the rehearsal, which leaves traces of its own, it says what this
  ///   process takes now.
  /// - Returns: beside the arrangement what it was found by; that takes tens of megabytes for small
  ///   pieces of what it stands for, so nobody may hold it while a run goes on.
  /// - Throws: `activationBudgetTooSmall` and `memoryBudgetTooSmall` (exit 81), and what a machine
  ///   lacks for the GPU that the recipe asks for.
  func arrangement(on machine: MachineMemory) throws -> (Arrangement, Rehearsal) {
    let isOpen = recipe.device == "auto"
    let (device, problem) =
      isOpen
      ? ComputeDevice.open(usesInt16: recipe.usesInt16)
      : (try ComputeDevice.choose(recipe.device, usesInt16: recipe.usesInt16), nil)
    guard case .cuda(let gpu) = device else {
      return try arrangementOnCPU(machine, since: problem)
    }
    let (onGPU, rehearsal) = try arrangement(on: device)
    var arrangement = onGPU
    let (needed, free) = (arrangement.memory.peakBytes, gpu.freeBytes)
    let need = ComputeDevice.need("the run", needed, gpu, free)
    if needed <= free {
      if isOpen { arrangement.choice = ComputeDevice.choice("set device=cpu", gpu: gpu, need) }
      return (arrangement, rehearsal)
    }
    // Whoever leaves the choice open gets as much of the device as there is, or the one with room.
    if isOpen, let bytes = arrangement.memory.placeWeights(in: free, host: machine.availableBytes) {
      arrangement.deviceWeightBytes = arrangement.memory.weightBytes
      arrangement.choice =
        ComputeDevice.choice("set device=cpu", gpu: gpu, need + ComputeDevice.waiting(bytes))
      return (arrangement, rehearsal)
    }
    if isOpen { return try arrangementOnCPU(machine, since: need) }
    arrangement.problem = Diagnostic(
      .deviceMemoryExhausted, need + ": " + arrangement.memory.words,
      remedy: "set training.activationMemory to \"full\", lower training.batchSize or "
        + "data.maxTokens, or set device to \"auto\", which lets weights wait in the host's memory")
    return (arrangement, rehearsal)
  }

  /// On a GPU the process's own memory is another matter.
  private func arrangement(on gpu: ComputeDevice) throws -> (Arrangement, Rehearsal) {
    let rehearsal = try rehearsal(gpu)
    let (policies, memory) = try forecast(rehearsal, processBytes: 0)
    return (
      Arrangement(
        policies: policies, layout: rehearsal.layoutOnGPU(), memory: memory.onDevice, device: gpu),
      rehearsal
    )
  }

  /// - Parameter problem: why it is not a GPU that is there.
  private func arrangementOnCPU(
    _ machine: MachineMemory, since problem: String?
  ) throws -> (Arrangement, Rehearsal) {
    let processBytes = machine.residentBytes ?? 0
    let budget = MemoryBudget(
      maxMemory: recipe.maxMemory.cpu, by: "maxMemory.cpu", device: recipe.device, on: machine)
    let rehearsal = try rehearsal(.cpu)
    var (policies, memory) = try forecast(rehearsal, processBytes: processBytes)
    let layout = try rehearsal.layout(&memory, budget)
    return (
      Arrangement(
        policies: policies, layout: layout, memory: memory, device: .cpu,
        choice: problem.map { ComputeDevice.choice("set device=cuda", gpu: nil, $0) }), rehearsal
    )
  }

  private func forecast(
    _ rehearsal: Rehearsal, processBytes: Int
  ) throws -> ([ActivationPolicy], MemoryForecast) {
    let batch = largestBatch
    let policies = try rehearsal.policies(recipe.training.activationMemory.budget, batch)
    var step = rehearsal.step(batch, policies)
    // Blocks of other sizes leave other holes in the pool, so real batches can need more of it.
    for real in try realBatches {
      step.poolBytes = max(step.poolBytes, rehearsal.step(real, policies).poolBytes)
    }
    var memory = MemoryForecast(
      rehearsal, optimizer: recipe.optimizerOptions, step: step, processBytes: processBytes)
    memory.evaluationBytes = try largestValidationBatch.map(rehearsal.evaluationBytes) ?? 0
    return (policies, memory)
  }

  private func rehearsal(_ device: ComputeDevice) throws -> Rehearsal {
    try Rehearsal(source, recipe.modelRequest(on: device)) { model, tensor in
      model.dropoutSeed = recipe.dropoutSeed
      model.neftuneAlpha = recipe.training.neftuneAlpha
      guard let path = recipe.adapter.initializeFrom else {
        return try model.addHollowAdapters(recipe.adapterOptions, tensor: tensor)
      }
      var adapter = try AdapterFolder.open(path).adapter
      adapter.config.dropout = recipe.adapter.dropout
      try model.addAdapters(adapter)
    }
  }

  /// The largest micro-batch of the run, every token labelled.
  var largestBatch: TokenBatch { labelled(largestBatch(of: data.train, recipe.batchSettings)) }

  private func labelled(_ batch: TokenBatch) -> TokenBatch {
    if recipe.task == .classification { return batch.withClasses }
    return source.config.form.reader == nil ? batch : batch.allWritten
  }

  /// The same for evaluations; nil without validation data.
  var largestValidationBatch: TokenBatch? {
    if data.validation.isEmpty { return nil }
    var settings = recipe.batchSettings
    settings.shuffle = false
    (settings.accumulation, settings.length, settings.weights) = (1, .epochs(1), [])
    return labelled(largestBatch(of: data.validation, settings))
  }

  /// Those of the first step as they are.
  private var realBatches: [TokenBatch] {
    get throws {
      let plan = BatchPlan(rows: data.train, settings: recipe.batchSettings)
      return try plan.microBatches(step: 1).prefix(Self.rehearsedBatches).map(\.tokenBatch)
    }
  }

  /// A rehearsal takes some milliseconds for each.
  private static let rehearsedBatches = 4

  /// More steps than this are not looked at one by one.
  private static let mostSteps = 20_000

  private func largestBatch(of rows: EncodedRows, _ settings: BatchSettings) -> TokenBatch {
    let lengths = rows.lengths
    let all = lengths.reduce(0, +)
    let longest = settings.packing ? min(settings.maxTokens, all) : lengths.max() ?? 0
    let bound = TokenBatch(length: longest, total: min(all, longest * settings.batchSize))
    guard !settings.packing else { return bound }
    let plan = BatchPlan(rows: rows, settings: settings)
    guard plan.stepCount <= Self.mostSteps else { return bound }
    var largest: (lengths: [Int], total: Int) = ([], 0)
    for step in 1...max(1, plan.stepCount) {
      for sequences in plan.members(step: step) {
        let found = sequences.joined().map { lengths[$0] }
        let total = found.reduce(0, +)
        if total > largest.total { largest = (found, total) }
      }
    }
    return largest.total > 0 ? TokenBatch(lengths: largest.lengths) : bound
  }
}

extension TokenBatch {
  /// Sequences of `length` tokens, `total` in all, every one labelled that has a next one.
  package init(length: Int, total: Int) {
    let whole = total / max(1, length)
    let rest = total - whole * length
    self.init(lengths: Array(repeating: length, count: whole) + (rest > 0 ? [rest] : []))
  }

  /// Sequences of these lengths, every token labelled that has a next one.
  package init(lengths: [Int]) {
    let bounds = lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    let positions = lengths.flatMap { 0..<$0 }
    let total = positions.count
    let rows = positions.indices.filter { $0 + 1 < total && positions[$0 + 1] != 0 }
    self.init(
      tokens: Array(repeating: 0, count: total), positions: positions.map(Int32.init),
      bounds: bounds, rows: rows.map(Int32.init), targets: Array(repeating: 0, count: rows.count))
  }
}

extension Recipe {
  var dropoutSeed: UInt64 { UInt64(bitPattern: Int64(training.seed)) }
}

extension Pipeline {
  /// What a command line says instead of a recipe.
  package static func activationBudget(_ text: String) throws -> ActivationBudget {
    if text == "none" { return .everything }
    if text == "full" { return .least }
    if text == "host" { return .outside }
    guard let bytes = byteCount(text) else {
      throw Diagnostic(
        .recipeOutOfRange, "\"\(text)\" is neither none, full, host, nor a size such as 512MiB")
    }
    return .bytes(bytes)
  }

  /// Bytes, or a size such as `3GiB`; nil for anything else.
  package static func byteCount(_ text: String) -> Int? {
    (ByteCount.parse(text) ?? Int(text)).flatMap { $0 > 0 ? $0 : nil }
  }
}
