// What a recipe's run will take, and what each block of its model keeps: found before any weight is
// read.

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
  let memory: MemoryForecast
  let rehearsal: Rehearsal
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
  /// - Throws: `activationBudgetTooSmall` and `memoryBudgetTooSmall` (exit 81).
  func arrangement(on machine: MachineMemory) throws -> Arrangement {
    let processBytes = machine.residentBytes ?? 0
    let budget = MemoryBudget(
      maxMemory: recipe.maxMemory.cpu, by: "maxMemory.cpu", device: recipe.device, on: machine)
    let rehearsal = try rehearsal()
    let batch = largestBatch
    let policies = try rehearsal.policies(recipe.training.activationMemory.budget, batch)
    var memory = MemoryForecast(
      rehearsal, optimizer: recipe.optimizerOptions, step: rehearsal.step(batch, policies),
      processBytes: processBytes)
    memory.evaluationBytes = try largestValidationBatch.map(rehearsal.evaluationBytes) ?? 0
    let layout = try rehearsal.layout(&memory, budget)
    return Arrangement(
      policies: policies, layout: layout, memory: memory, rehearsal: rehearsal)
  }

  private func rehearsal() throws -> Rehearsal {
    try Rehearsal(source, recipe.modelRequest) { model, tensor in
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

  /// As large as a micro-batch of the run can become, every token labelled.
  var largestBatch: TokenBatch { largestBatch(of: data.train.lengths) }

  /// The same for evaluations; nil without validation data.
  var largestValidationBatch: TokenBatch? {
    data.validation.isEmpty ? nil : largestBatch(of: data.validation.lengths)
  }

  private func largestBatch(of lengths: [Int]) -> TokenBatch {
    let all = lengths.reduce(0, +)
    let longest = recipe.data.packing ? min(recipe.data.maxTokens, all) : lengths.max() ?? 0
    let total = min(all, longest * recipe.training.batchSize)
    return TokenBatch(length: longest, total: total)
  }
}

extension TokenBatch {
  /// Sequences of `length` tokens, `total` in all, every one labelled that has a next one.
  package init(length: Int, total: Int) {
    let bounds = Array(stride(from: 0, to: total, by: max(1, length))) + [total]
    let positions = (0..<total).map { $0 % max(1, length) }
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
    guard let bytes = byteCount(text) else {
      throw Diagnostic(
        .recipeOutOfRange, "\"\(text)\" is neither none, nor full, nor a size such as 512MiB")
    }
    return .bytes(bytes)
  }

  /// Bytes, or a size such as `3GiB`; nil for anything else.
  package static func byteCount(_ text: String) -> Int? {
    (ByteCount.parse(text) ?? Int(text)).flatMap { $0 > 0 ? $0 : nil }
  }
}
