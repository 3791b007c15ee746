// A step of an image model without data: its own code on a backend that only counts.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import QLoRATraining

struct ImageRehearsal {
  let trainee: ImageTrainee
  private let backend: any RehearsedBackend
  private let counter: CountingBackend
  private let recipe: Recipe
  private let data: ImageRunData

  init(
    _ recipe: Recipe, _ folder: ImageFolder, _ data: ImageRunData, on device: ComputeDevice
  ) throws {
    self.recipe = recipe
    self.data = data
    let request = recipe.modelRequest(on: device)
    backend = try Backends.makeShapeOnly(request)
    counter = CountingBackend(backend)
    let model = try ImageModel(
      folder.transformer.shapeOnly, backend: counter, options: request.load)
    if let initial = try recipe.initialImageAdapter() {
      try model.addAdapters(initial)
    } else {
      try model.addHollowAdapters(recipe.adapterOptions, tensor: backend.hollowTensor)
    }
    trainee = ImageTrainee(model, data.files, try recipe.flowMatching(folder))
    try chooseRecomputedBlocks()
  }

  /// As few as the recipe's budget allows, from the first on.
  /// - Throws: `activationBudgetTooSmall` (exit 81), which names the least that is possible.
  private func chooseRecomputedBlocks() throws {
    switch recipe.training.activationMemory {
    case .none: model.recomputedBlocks = 0
    case .full, .host: model.recomputedBlocks = model.blockCount
    case .budget(let bytes):
      let batch = data.largestBatch
      func kept(_ recomputed: Int) throws -> Int {
        model.recomputedBlocks = recomputed
        return try step(batch).activationBytes
      }
      let least = try kept(model.blockCount)
      guard least <= bytes else {
        throw Diagnostic(
          .activationBudgetTooSmall,
          "training.activationMemory allows \(ByteCount.spell(bytes)), but the least that a "
            + "micro-batch of \(batch.tokens.count) rows can keep is \(ByteCount.atLeast(least))",
          remedy: "allow that much, or lower training.batchSize")
      }
      // Each block that is computed again keeps less, so the fewest are found by halving.
      var (low, high) = (0, model.blockCount)
      while low < high {
        let middle = (low + high) / 2
        if try kept(middle) <= bytes { high = middle } else { low = middle + 1 }
      }
      model.recomputedBlocks = low
    }
  }

  var model: ImageModel { trainee.model }
  var device: String { backend.words }

  func step(_ batch: TokenBatch) throws -> StepForecast {
    backend.restartPool()
    let before = (bytes: backend.poolBytes.live, operations: counter.operations)
    var forecast = StepForecast()
    _ = try trainee.accumulateGradients(batch, dropoutStream: 0) { stage in
      let bytes = backend.poolBytes
      switch stage {
      case .forward: forecast.activationBytes = bytes.live - before.bytes
      case .loss:
        forecast.lossBytes = max(0, bytes.peak - before.bytes - forecast.activationBytes)
      case .backward: forecast.poolBytes = bytes.extent
      }
    }
    forecast.operations = counter.operations - before.operations
    return forecast
  }

  private static let rehearsedBatches = 4

  /// - Parameter processBytes: what this process took before the rehearsal; 0 on a GPU.
  func forecast(processBytes: Int) throws -> MemoryForecast {
    let parameters = model.parameters
    var step = try step(data.largestBatch)
    // Samples of other sizes leave other holes in the pool, so real batches can need more of it.
    for real in try data.microBatches(step: 1).prefix(Self.rehearsedBatches) {
      step.poolBytes = max(step.poolBytes, try self.step(real).poolBytes)
    }
    var memory = MemoryForecast(
      processBytes: processBytes, weightBytes: model.weightBytes,
      adapterBytes: parameters.reduce(0) { $0 + $1.value.byteCount },
      optimizerBytes: recipe.optimizerOptions.memoryBytes(of: parameters.map(\.value.count)),
      step: step)
    if let batch = data.validationBatches.max(by: { $0.tokens.count < $1.tokens.count }) {
      backend.restartPool()
      _ = try trainee.lossSum(batch)
      memory.evaluationBytes = backend.poolBytes.extent
    }
    return memory
  }
}

extension Recipe {
  /// The adapter that training begins with; nil where it begins with a fresh one.
  func initialImageAdapter() throws -> PEFTAdapter? {
    guard let path = adapter.initializeFrom else { return nil }
    var initial = try AdapterFolder.open(path).adapter
    initial.config.dropout = adapter.dropout
    return initial
  }

  func flowMatching(_ folder: ImageFolder) throws -> FlowMatching {
    let timesteps: FlowMatching.Timesteps =
      switch image.timesteps {
      case .uniform: .uniform
      case .logitNormal: .logitNormal(mean: image.logitMean, deviation: image.logitDeviation)
      case .mode: .mode(scale: image.modeScale)
      }
    return FlowMatching(
      timesteps: timesteps, shift: try image.shift ?? folder.scheduleShift(),
      weighting: FlowMatching.Weighting(rawValue: image.weighting.rawValue) ?? .none,
      guidance: image.guidance, seed: UInt64(bitPattern: Int64(training.seed)))
  }
}
