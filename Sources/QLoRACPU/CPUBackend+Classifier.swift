// Heads that are trained as a whole: rows through a dense matrix, of a few classes or of a whole
// vocabulary.
import CQLoRAKernels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

// SAFETY: the preconditions compare every count; items write disjoint rows or columns, and the
// tensors outlive the call.
extension CPUBackend {
  package func denseLinear(
    _ input: Tensor, weight: Tensor, bias: Tensor?, into output: Tensor
  ) {
    let (count, width, outs) = (input.shape[0], input.shape[1], weight.shape[0])
    precondition(weight.shape[1] == width && output.shape == [count, outs])
    precondition(bias == nil || bias?.count == outs)
    if bias == nil, outs >= Self.wideHead {
      return wideLinear(input, weight: weight, into: output)
    }
    let kernel = rows
    threadPool.run(outs) { out in
      let row = weight.floatAddress(at: out * width)
      for token in 0..<count {
        output.floatAddress(at: token * outs)[out] =
          kernel.dot(width, input.address(at: token * width), input.dtype.element, row)
          + (bias?[flat: out] ?? 0)
      }
    }
  }

  package func denseLinearBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inputGradient: Tensor?,
    weightGradient: Tensor, biasGradient: Tensor?
  ) {
    let (count, width, outs) = (input.shape[0], input.shape[1], weight.shape[0])
    precondition(outputGradient.shape == [count, outs] && weight.shape[1] == width)
    precondition(weightGradient.shape == weight.shape && biasGradient?.count ?? outs == outs)
    precondition(inputGradient == nil || inputGradient?.count == input.count)
    if biasGradient == nil, outs >= Self.wideHead {
      return wideLinearBackward(
        outputGradient, input: input, weight: weight, inputGradient: inputGradient,
        weightGradient: weightGradient)
    }
    let kernel = rows
    threadPool.run(outs) { out in
      let row = weightGradient.floatAddress(at: out * width)
      for token in 0..<count {
        let slope = outputGradient[flat: token * outs + out]
        kernel.add_scaled(
          width, slope, input.address(at: token * width), input.dtype.element, row)
        if let biasGradient { biasGradient[flat: out] += slope }
      }
    }
    guard let inputGradient else { return }
    threadPool.run(count) { token in
      let row = inputGradient.floatAddress(at: token * width)
      row.update(repeating: 0, count: width)
      for out in 0..<outs {
        kernel.add_scaled(
          width, outputGradient[flat: token * outs + out], weight.address(at: out * width),
          qlora_element_f32, row)
      }
    }
  }

  package func crossEntropy(_ logits: Tensor, targets: [Int32], gradient: Tensor?) -> Double {
    let (count, classes) = (logits.shape[0], logits.shape[1])
    precondition(targets.count == count && gradient?.count ?? logits.count == logits.count)
    precondition(targets.allSatisfy { $0 >= 0 && $0 < classes })
    let isWide = classes >= Self.wideHead
    let scratch = isWide && gradient == nil ? WorkerScratch(self, floats: classes) : nil
    if hollowPool != nil { return 0 }
    var losses = [Double](repeating: 0, count: count)
    losses.withUnsafeMutableBufferPointer { losses in
      threadPool.run(count) { row, worker in
        let target = Int(targets[row])
        let slopes = gradient?.floatAddress(at: row * classes) ?? scratch?.part(worker)
        losses[row] =
          if isWide, let slopes {
            wideCrossEntropy(
              logits.floatAddress(at: row * classes), classes, target: target, slopes: slopes)
          } else {
            crossEntropy(logits, row: row, target: target, gradient: gradient)
          }
      }
    }
    // In the order of rows, whoever computed them.
    return losses.reduce(0, +)
  }

  /// Of one row, with its row of the gradient.
  private func crossEntropy(
    _ logits: Tensor, row: Int, target: Int, gradient: Tensor?
  ) -> Double {
    let classes = logits.shape[1]
    let values = UnsafeBufferPointer(
      start: logits.floatAddress(at: row * classes), count: classes)
    let top = Double(values.max() ?? 0)
    if let gradient {
      let slopes = gradient.floatAddress(at: row * classes)
      let all = values.reduce(0) { $0 + exp(Double($1) - top) }
      for place in 0..<classes {
        slopes[place] = Float(exp(Double(values[place]) - top) / all - (place == target ? 1 : 0))
      }
      return log(all) + top - Double(values[target])
    }
    return log(values.reduce(0) { $0 + exp(Double($1) - top) }) + top - Double(values[target])
  }
}
