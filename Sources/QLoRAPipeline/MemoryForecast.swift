// The memory of a training process by what it is for.

import QLoRACUDA
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATraining

package struct MemoryForecast: Sendable, Equatable {
  /// The program itself with its tokenizer and rows: what this process, which has them too, takes
  /// now.
  package var processBytes: Int
  /// Of the weights that stay in memory.
  package var weightBytes: Int
  /// Of the buffers that layers on disk, or weights outside of a GPU's memory, take turns in.
  package var readAheadBytes = 0
  /// What the latter would take.
  private var bufferBytes = 0
  /// Adapters, and as many bytes of gradients.
  package var adapterBytes: Int
  package var optimizerBytes: Int
  package var step: StepForecast
  /// Of the pool, in an evaluation; 0 without validation data.
  package var evaluationBytes = 0
  /// Of a GPU, beside what is planned.
  package private(set) var slackBytes = 0

  init(
    processBytes: Int, weightBytes: Int, adapterBytes: Int, optimizerBytes: Int,
    step: StepForecast
  ) {
    self.processBytes = processBytes
    self.weightBytes = weightBytes
    self.adapterBytes = adapterBytes
    self.optimizerBytes = optimizerBytes
    self.step = step
  }

  /// - Parameter processBytes: before the rehearsal, which leaves traces of its own.
  init(
    _ rehearsal: Rehearsal, optimizer: OptimizerOptions = .adamW(AdamWOptions()),
    step: StepForecast, processBytes: Int
  ) {
    self.init(
      processBytes: processBytes, weightBytes: rehearsal.model.weightBytes,
      adapterBytes: rehearsal.parameterBytes,
      optimizerBytes: optimizer.memoryBytes(of: rehearsal.model.parameters.map(\.value.count)),
      step: step)
    let weights = rehearsal.model.weightsByModule.map(\.weight.byteCount)
    bufferBytes = CUDABackend.readAheadBytes(weights)
  }

  /// Takes the layers out of memory that lie on disk.
  mutating func place(_ placement: LayerPlacement) {
    weightBytes -= placement.diskBytes
    readAheadBytes = placement.readAheadBytes
  }

  /// The same on a GPU, where memory is lent in pieces, whose ends are lost, and small arrays that
  /// stay from step to step are in no rehearsal.
  var onDevice: MemoryForecast {
    var memory = self
    memory.slackBytes = 64 << 20
    return memory
  }

  /// Lets weights wait in the host's memory, as many as `free` bytes of a GPU do not hold.
  /// - Returns: their bytes; nil, and nothing changes, where even that is not enough.
  mutating func placeWeights(in free: Int, host: Int?) -> Int? {
    let lacking = peakBytes + bufferBytes - free
    guard lacking <= weightBytes, lacking <= host ?? .max else { return nil }
    weightBytes -= lacking
    readAheadBytes = bufferBytes
    return lacking
  }

  /// What adds up to the peak of a step: keys for JSON and names for people.
  package var parts: [(key: String, name: String, bytes: Int)] {
    [
      ("process", "program, tokenizer and rows", processBytes),
      ("weights", "weights", weightBytes), ("readAhead", "layers read ahead", readAheadBytes),
      ("adapters", "adapters", adapterBytes), ("gradients", "their gradients", gradientBytes),
      ("optimizer", "optimizer", optimizerBytes),
      ("activations", "activations", step.activationBytes),
      ("workspace", "workspace", step.workspaceBytes),
    ] + (slackBytes > 0 ? [("slack", "slack", slackBytes)] : [])
  }

  /// What adds up to the peak of a step, or of an evaluation or answer where that is higher, for a
  /// message; without what is nothing.
  package var words: String {
    var shown = parts
    if evaluationBytes > step.poolBytes {
      shown.removeAll { ["activations", "workspace"].contains($0.key) }
      shown.append(("evaluation", "passes without gradients", evaluationBytes))
    }
    return shown.filter { $0.bytes > 0 }.map { "\($0.name) \(ByteCount.spell($0.bytes))" }
      .joined(separator: ", ")
  }

  package var gradientBytes: Int { adapterBytes }

  /// While weights are read; the buffers that they are read through are small. A layer that goes
  /// to the disk is prepared where the buffers will be.
  package var loadingPeakBytes: Int {
    processBytes + weightBytes + readAheadBytes + slackBytes
  }

  package var trainingPeakBytes: Int { residentBytes + step.poolBytes }

  /// What operations borrow at most.
  var poolBytes: Int { max(step.poolBytes, evaluationBytes) }

  /// The first time; later the memory of a step is there already, and evaluations use it.
  package var evaluationPeakBytes: Int { residentBytes + evaluationBytes }

  package var peakBytes: Int {
    max(loadingPeakBytes, trainingPeakBytes, evaluationPeakBytes)
  }

  /// What stays from step to step.
  private var residentBytes: Int {
    processBytes + weightBytes + readAheadBytes + slackBytes + adapterBytes + gradientBytes
      + optimizerBytes
  }
}
