// A training step without data: the run's own model and backend, with weights of the right size
// that hold nothing. What it asks for and multiplies is what the run will, by construction.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRATensor

/// What a step asks for beyond weights and optimizer, in bytes.
package struct StepForecast: Sendable, Equatable {
  /// Kept from forward until backward.
  package var activationBytes = 0
  /// Beside them at the most: logits of a chunk and their gradient.
  package var lossBytes = 0
  /// Kept in the host's memory, beside all that is the device's.
  package var outsideBytes = 0
  /// Of the pool: activations, and what operations need beside them.
  package var poolBytes = 0
  /// Floating-point operations of products and attention.
  package var operations = 0.0

  /// Gradients of activations, packed operands, the head's chunk: all that is not kept.
  package var workspaceBytes: Int { poolBytes - activationBytes }
}

struct Rehearsal {
  let model: DecoderModel
  private let backend: any RehearsedBackend
  private let counter: CountingBackend

  /// - Parameter adapters: puts them on the model; `tensor` makes memory that nobody touches.
  init(
    _ source: ModelSource, _ request: ModelRequest,
    adapters: (_ model: DecoderModel, _ tensor: (Shape) -> Tensor) throws -> Void
  ) throws {
    backend = try Backends.makeShapeOnly(request)
    counter = CountingBackend(backend)
    model = try ModelLoader(source.shapeOnly, backend: counter, options: request.load).load()
    try adapters(model, backend.hollowTensor)
  }

  /// As `doctor` and records name it.
  var device: String { backend.words }

  /// Where a file would have the weights.
  var index: WeightIndex {
    var index = WeightIndex()
    for (module, weight) in model.weightsByModule { index.add(module, backend.archive(weight)) }
    return index
  }

  /// Every layer on a GPU.
  func layoutOnGPU() -> WeightLayout {
    WeightLayout(placement: LayerPlacement(layerBytes: model.blockBytes), index: WeightIndex())
  }

  /// Lets layers wait on the disk where `memory`, which has them all, is more than there is.
  /// - Throws: `memoryBudgetTooSmall` (exit 81).
  func layout(_ memory: inout MemoryForecast, _ budget: MemoryBudget) throws -> WeightLayout {
    let index = index
    let placement = try budget.place(
      model.blockBytes, peakBytes: memory.peakBytes,
      readAheadBytes: WeightLayout.readAheadBytes(index))
    if placement.usesDisk, model.readsAndWrites {
      throw Diagnostic(
        .memoryBudgetTooSmall,
        "this model needs \(ByteCount.atLeast(memory.peakBytes)) of memory, and its layers cannot "
          + "wait on the disk: that is only for models of one stack",
        remedy: "allow more memory, lower data.maxTokens or training.batchSize, or quantize it")
    }
    memory.place(placement)
    return WeightLayout(placement: placement, index: index)
  }

  var parameterCount: Int { model.parameters.reduce(0) { $0 + $1.value.count } }

  var parameterBytes: Int { model.parameters.reduce(0) { $0 + $1.value.byteCount } }

  /// What each block is to keep in a step over `batch`.
  /// - Throws: `activationBudgetTooSmall` (exit 81), which names the least that is possible.
  func policies(
    _ budget: ActivationBudget, _ batch: TokenBatch
  ) throws -> [ActivationPolicy] {
    let blockCount = model.activationPolicies.count
    guard case .bytes(let bytes) = budget else {
      let policy: ActivationPolicy =
        switch budget {
        case .least: .input
        case .outside: .outside
        default: .everything
        }
      return Array(repeating: policy, count: blockCount)
    }
    let costs = model.blockCosts(batch) {
      (backend.poolBytes.live, counter.operations)
    }
    // Beside the blocks: the embedded tokens and the rows that the head reads.
    let least = step(batch, Array(repeating: .input, count: blockCount)).activationBytes
    let others = least - ActivationPlanner.leastBytes(costs)
    guard let policies = ActivationPlanner.choose(costs, budget: bytes - others) else {
      throw Diagnostic(
        .activationBudgetTooSmall,
        "training.activationMemory allows \(ByteCount.spell(bytes)), but the least that a "
          + "micro-batch of \(batch.tokens.count) tokens can keep is \(ByteCount.atLeast(least))",
        remedy: "allow that much, or lower training.batchSize or data.maxTokens")
    }
    return policies
  }

  func step(_ batch: TokenBatch, _ policies: [ActivationPolicy]) -> StepForecast {
    model.activationPolicies = policies
    backend.restartPool()
    let before = (bytes: backend.poolBytes.live, operations: counter.operations)
    var forecast = StepForecast()
    _ = model.accumulateGradients(batch, dropoutStream: 0) { stage in
      let bytes = backend.poolBytes
      switch stage {
      case .forward: forecast.activationBytes = bytes.live - before.bytes
      case .loss:
        forecast.lossBytes = max(0, bytes.peak - before.bytes - forecast.activationBytes)
      case .backward:
        forecast.poolBytes = bytes.extent
        forecast.outsideBytes = backend.asideBytes
      }
    }
    forecast.operations = counter.operations - before.operations
    return forecast
  }

  /// Bytes of the pool that an evaluation of `batch` takes.
  func evaluationBytes(_ batch: TokenBatch) throws -> Int {
    backend.restartPool()
    _ = try model.lossSum(batch)
    return backend.poolBytes.extent
  }
}

extension Recipe.ActivationMemory {
  var budget: ActivationBudget {
    switch self {
    case .none: .everything
    case .full: .least
    case .host: .outside
    case .budget(let bytes): .bytes(bytes)
    }
  }
}
