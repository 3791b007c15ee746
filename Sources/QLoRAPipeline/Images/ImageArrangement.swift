// Where a run on images is computed and what it takes there, found before any weight is read.
import QLoRACUDA
import QLoRADiagnostics
import QLoRAImage
import QLoRARecipe
import QLoRASystem

struct ImageArrangement {
  let device: ComputeDevice
  let memory: MemoryForecast
  let recomputedBlocks: Int
  /// What device `auto` took and why, where there was a choice.
  var choice: String?
  /// Why it can't be run: the GPU that was asked for has no room.
  var problem: Diagnostic?

  /// - Returns: also what it was found by, which nobody may hold while a run goes on.
  /// - Throws: `activationBudgetTooSmall` and `memoryBudgetTooSmall` (exit 81), and what a machine
  ///   lacks for the GPU that the recipe asks for.
  static func find(
    _ recipe: Recipe, _ folder: ImageFolder, _ data: ImageRunData, on machine: MachineMemory
  ) throws -> (ImageArrangement, ImageRehearsal) {
    let isOpen = recipe.device == "auto"
    let (device, problem) =
      isOpen
      ? ComputeDevice.open(usesInt16: recipe.usesInt16)
      : (try ComputeDevice.choose(recipe.device, usesInt16: recipe.usesInt16), nil)
    // Before a rehearsal, which leaves traces of its own.
    let processBytes = machine.residentBytes ?? 0
    func onCPU(since problem: String?) throws -> (ImageArrangement, ImageRehearsal) {
      var found = try rehearsed(recipe, folder, data, on: .cpu, processBytes: processBytes)
      try recipe.check(imageMemory: found.0.memory)
      found.0.choice = problem.map { ComputeDevice.choice("set device=cuda", gpu: nil, $0) }
      return found
    }
    guard case .cuda(let gpu) = device else { return try onCPU(since: problem) }
    var found = try rehearsed(recipe, folder, data, on: device, processBytes: 0)
    // The inputs of a micro-batch, which come from the host, are in no rehearsal.
    let (needed, free) = (found.0.memory.peakBytes, gpu.freeBytes)
    let need = ComputeDevice.need("the run", needed, gpu, free)
    if needed <= free {
      if isOpen { found.0.choice = ComputeDevice.choice("set device=cpu", gpu: gpu, need) }
      return found
    }
    if isOpen { return try onCPU(since: need) }
    found.0.problem = Diagnostic(
      .deviceMemoryExhausted, need + ": " + found.0.memory.words,
      remedy: "set training.activationMemory to \"full\", lower training.batchSize, quantize the "
        + "model, or set device to \"auto\"")
    return found
  }

  private static func rehearsed(
    _ recipe: Recipe, _ folder: ImageFolder, _ data: ImageRunData, on device: ComputeDevice,
    processBytes: Int
  ) throws -> (ImageArrangement, ImageRehearsal) {
    let rehearsal = try ImageRehearsal(recipe, folder, data, on: device)
    let memory = try rehearsal.forecast(processBytes: processBytes)
    return (
      ImageArrangement(
        device: device, memory: device.isGPU ? memory.onDevice : memory,
        recomputedBlocks: rehearsal.model.recomputedBlocks),
      rehearsal
    )
  }

  func request(_ recipe: Recipe) -> ModelRequest {
    var request = recipe.modelRequest(on: device)
    request.poolBytes = memory.poolBytes
    return request
  }
}

extension Recipe {
  /// - Throws: `memoryBudgetTooSmall` (exit 81) where `maxMemory.cpu` is less than the run needs.
  fileprivate func check(imageMemory memory: MemoryForecast) throws(Diagnostic) {
    let peak = memory.peakBytes + MemoryBudget.slackBytes
    guard let most = maxMemory.cpu, peak > most else { return }
    throw Diagnostic(
      .memoryBudgetTooSmall,
      "maxMemory.cpu allows \(ByteCount.spell(most)), and the run needs "
        + ByteCount.atLeast(peak),
      remedy: training.activationMemory == .full
        ? "allow that much, lower training.batchSize or adapter.rank, or quantize the model"
        : "allow that much, set training.activationMemory to \"full\", or lower "
          + "training.batchSize")
  }
}
