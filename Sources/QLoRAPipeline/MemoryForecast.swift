// The memory of a training process by what it is for.

import QLoRAModels
import QLoRASystem
import QLoRATraining

package struct MemoryForecast: Sendable, Equatable {
  /// The program itself with its tokenizer and rows: what this process, which has them too, takes
  /// now.
  package var processBytes: Int
  package var weightBytes: Int
  /// Adapters, and as many bytes of gradients.
  package var adapterBytes: Int
  package var optimizerBytes: Int
  package var step: StepForecast
  /// Of the pool, in an evaluation; 0 without validation data.
  package var evaluationBytes = 0

  /// - Parameter processBytes: before the rehearsal, which leaves traces of its own.
  init(
    _ rehearsal: Rehearsal, optimizer: OptimizerOptions = .adamW(AdamWOptions()),
    step: StepForecast, processBytes: Int
  ) {
    self.processBytes = processBytes
    weightBytes = rehearsal.model.weightBytes
    adapterBytes = rehearsal.parameterBytes
    optimizerBytes = rehearsal.model.parameters.reduce(0) {
      $0 + optimizer.stateByteCounts(of: $1.value.count).reduce(0, +)
    }
    self.step = step
  }

  package var gradientBytes: Int { adapterBytes }

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
