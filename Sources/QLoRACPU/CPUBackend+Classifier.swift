// The head that is trained as a whole: a few rows through a small dense matrix.
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
    if hollowPool != nil { return 0 }
    var sum = 0.0
    for row in 0..<count {
      let values = UnsafeBufferPointer(
        start: logits.floatAddress(at: row * classes), count: classes)
      let top = Double(values.max() ?? 0)
      let powers = values.map { exp(Double($0) - top) }
      let all = powers.reduce(0, +)
      let target = Int(targets[row])
      sum += log(all) + top - Double(values[target])
      guard let gradient else { continue }
      for (place, power) in powers.enumerated() {
        gradient[flat: row * classes + place] =
          Float(power / all - (place == target ? 1 : 0))
      }
    }
    return sum
  }
}
