// What a model takes that only reads or writes text, and what follows from it for its layers.

import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct InferenceMemory {
  private let source: ModelSource
  private let request: ModelRequest
  private let adapterBytes: Int

  init(_ source: ModelSource, _ request: ModelRequest, adapterBytes: Int) {
    self.source = source
    self.request = request
    self.adapterBytes = adapterBytes
  }

  /// For passes of as many tokens as an evaluation takes at once, which is also room for the keys
  /// and values of an answer.
  /// - Throws: `memoryBudgetTooSmall` (exit 81).
  func layout(on machine: MachineMemory) throws -> WeightLayout {
    let budget = MemoryBudget(maxMemory: request.maxMemory, by: "--max-memory", on: machine)
    var (memory, rehearsal) = try forecast(processBytes: machine.residentBytes ?? 0)
    return try rehearsal.layout(&memory, budget)
  }

  /// Every layer on the GPU, and what that takes there.
  func onGPU() throws -> (MemoryForecast, WeightLayout) {
    let (memory, rehearsal) = try forecast(processBytes: 0)
    return (memory.onDevice, rehearsal.layoutOnGPU())
  }

  private func forecast(processBytes: Int) throws -> (MemoryForecast, Rehearsal) {
    let rehearsal = try Rehearsal(source, request) { model, tensor in
      model.addHollowHead(tensor: tensor)
    }
    var memory = MemoryForecast(
      rehearsal, step: StepForecast(), processBytes: processBytes + adapterBytes)
    let tokens = min(Evaluator.tokensPerPass, source.config.maxPositions)
    memory.evaluationBytes =
      try rehearsal.evaluationBytes(batch(tokens))
      + keyValueBytes(tokens)
    return (memory, rehearsal)
  }

  private func batch(_ tokens: Int) -> TokenBatch {
    let batch = TokenBatch(length: tokens, total: tokens)
    if source.config.form.reader != nil { return batch.allWritten }
    return request.load.classes == nil ? batch : batch.withClasses
  }

  private func keyValueBytes(_ tokens: Int) -> Int {
    source.config.keyValueWidth * request.load.computeDType.byteSize * tokens
  }

  /// Where a file may lie that is as large as a model: on a disk, which the folder for small
  /// temporary files often is not.
  static var scratchFolder: String {
    let named = ProcessInfo.processInfo.environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 }
    let large = "/var/tmp"
    if let named { return named }
    return FileManager.default.fileExists(atPath: large)
      ? large : FileManager.default.temporaryDirectory.path
  }
}
