// Functions of each element with their slopes, and copies of columns.
import CQLoRAKernels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

// SAFETY: every stretch lies inside tensors whose counts the preconditions compare, tasks write
// disjoint stretches, and the tensors outlive the call.
extension CPUBackend {
  package func apply(_ function: ElementFunction, to input: Tensor, into output: Tensor) {
    precondition(input.count == output.count)
    guard function == .tanh || function == .relu else {
      applyLogistic(function.steepness, to: input, into: output)
      return
    }
    let scratch = WorkerScratch(self, floats: 2 * Self.chunkElements)
    runSamples([0, input.count], width: 1) { _, range, worker in
      let (start, memory) = (range.lowerBound, scratch.part(worker))
      let x = floats(input, at: start, range.count, scratch: memory)
      let y = target(output, at: start, scratch: memory + Self.chunkElements)
      for i in 0..<range.count { y[i] = function == .relu ? max(x[i], 0) : tanhf(x[i]) }
      store(y, output, at: start, range.count)
    }
  }

  private func applyLogistic(_ steepness: Float, to input: Tensor, into output: Tensor) {
    precondition(input.dtype.isActivation && output.dtype.isActivation)
    let kernel = rows
    runChunks(input.count) { range in
      kernel.logistic_multiply(
        range.count, steepness, input.address(at: range.lowerBound), input.dtype.element,
        output.address(at: range.lowerBound), output.dtype.element)
    }
  }

  package func applyBackward(
    _ function: ElementFunction, _ outputGradient: Tensor, input: Tensor, inputGradient: Tensor
  ) {
    precondition(input.count == outputGradient.count && inputGradient.count == input.count)
    let scratch = WorkerScratch(self, floats: Self.chunkElements)
    runSamples([0, input.count], width: 1) { _, range, worker in
      let x = floats(
        input, at: range.lowerBound, range.count, scratch: scratch.part(worker))
      let dy = outputGradient.floatAddress(at: range.lowerBound)
      let dx = inputGradient.floatAddress(at: range.lowerBound)
      for i in 0..<range.count { dx[i] = dy[i] * function.slope(x[i]) }
    }
  }

  package func copyColumns(
    _ input: Tensor, column: Int, count: Int, into output: Tensor, outputColumn: Int
  ) {
    let (from, to) = (input.shape[-1], output.shape[-1])
    let kernel = rows
    precondition(input.shape[0] == output.shape[0])
    precondition(column + count <= from && outputColumn + count <= to)
    runRows(input.shape[0], width: count) { range in
      for row in range {
        kernel.convert(
          count, input.address(at: row * from + column), input.dtype.element,
          output.address(at: row * to + outputColumn), output.dtype.element)
      }
    }
  }
}

extension ElementFunction {
  /// Of x in σ.
  fileprivate var steepness: Float { self == .silu ? 1 : 1.702 }

  func slope(_ x: Float) -> Float {
    if self == .relu { return x > 0 ? 1 : 0 }
    if self == .tanh {
      let bent = tanhf(x)
      return 1 - bent * bent
    }
    let s = 1 / (1 + expf(-steepness * x))
    return s * (1 + steepness * x * (1 - s))
  }
}
