// The memory of a training process by what it is for.

import QLoRAModels
import QLoRASystem

package struct MemoryForecast: Sendable, Equatable {
  /// The program itself with its tokenizer and rows: what this process, which has them too, takes
  /// now.
  package var processBytes: Int
  package var weightBytes: Int
  /// Adapters, and as many bytes each of gradients and of both moments.
  package var adapterBytes: Int
  package var step: StepForecast
  /// Of the pool, in an evaluation; 0 without validation data.
  package var evaluationBytes = 0

  /// - Parameter processBytes: before the rehearsal, which leaves traces of its own.
  init(_ rehearsal: Rehearsal, step: StepForecast, processBytes: Int) {
    self.processBytes = processBytes
    weightBytes = rehearsal.model.weightBytes
    adapterBytes = rehearsal.parameterBytes
    self.step = step
  }

  package var gradientBytes: Int { adapterBytes }
  package var optimizerBytes: Int { 2 * adapterBytes }

  /// While weights are read; the buffers that they are read through are small.
  package var loadingPeakBytes: Int { processBytes + weightBytes }

  package var trainingPeakBytes: Int { residentBytes + step.poolBytes }

  /// The first time; later the memory of a step is there already, and evaluations use it.
  package var evaluationPeakBytes: Int { residentBytes + evaluationBytes }

  package var peakBytes: Int {
    max(loadingPeakBytes, trainingPeakBytes, evaluationPeakBytes)
  }

  /// What stays from step to step.
  private var residentBytes: Int {
    processBytes + weightBytes + adapterBytes + gradientBytes + optimizerBytes
  }
}
