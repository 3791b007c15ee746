// A model that is to read or write text, and the device that it goes to.

import QLoRACUDA
import QLoRADiagnostics
import QLoRAFormats
import QLoRASystem

struct InferenceRequest {
  var model: ModelRequest
  /// Whether a GPU without room for the model leaves it to the CPU.
  var isOpen = false
  /// Why the open choice is not a GPU that is there.
  var problem: String?
  /// Is told in a line what was chosen, where there was a choice, and what is not as it seems.
  var note: (String) -> Void = { _ in }

  /// What is to be loaded where, for passes as an evaluation's.
  /// - Throws: `deviceMemoryExhausted` and `memoryBudgetTooSmall` (exit 81).
  func placed(
    _ source: ModelSource, adapterBytes: Int, on machine: MachineMemory
  ) throws -> (ModelRequest, WeightLayout) {
    guard case .cuda(let gpu) = model.device else {
      return try placedOnCPU(source, adapterBytes, machine, since: problem)
    }
    let layout: WeightLayout
    var memory: MemoryForecast
    (memory, layout) = try InferenceMemory(source, model, adapterBytes: adapterBytes)
      .onGPU()
    let (needed, free) = (memory.peakBytes, gpu.freeBytes)
    let need = ComputeDevice.need("the model", needed, gpu, free)
    if needed <= free {
      if isOpen { note(ComputeDevice.choice("device cpu", gpu: gpu, need)) }
      return (model, layout)
    }
    if isOpen, let bytes = memory.placeWeights(in: free, host: machine.availableBytes) {
      var request = model
      request.deviceWeightBytes = memory.weightBytes
      note(ComputeDevice.choice("device cpu", gpu: gpu, need + ComputeDevice.waiting(bytes)))
      return (request, layout)
    }
    if isOpen { return try placedOnCPU(source, adapterBytes, machine, since: need) }
    throw Diagnostic(
      .deviceMemoryExhausted, need + ": " + memory.words,
      remedy: "hold it smaller with --quantization nf4, or say --device cpu")
  }

  private func placedOnCPU(
    _ source: ModelSource, _ adapterBytes: Int, _ machine: MachineMemory, since problem: String?
  ) throws -> (ModelRequest, WeightLayout) {
    var request = model
    request.device = .cpu
    let layout = try InferenceMemory(source, request, adapterBytes: adapterBytes)
      .layout(on: machine)
    if let problem { note(ComputeDevice.choice("device cuda", gpu: nil, problem)) }
    return (request, layout)
  }
}
