// Heads that are trained as a whole: rows through a dense float32 matrix, and the loss of their
// classes.
import QLoRATensor

extension CUDABackend {
  package func denseLinear(_ input: Tensor, weight: Tensor, bias: Tensor?, into output: Tensor) {
    let (count, width, outs) = (input.shape[0], input.shape[1], weight.shape[0])
    precondition(weight.shape[1] == width && output.shape == [count, outs])
    precondition(bias == nil || bias?.count == outs)
    products.multiply(
      matrix(widened(input)), matrix(weight).across, into: writable(output), rows: count,
      columns: outs, depth: width)
    guard let bias else { return }
    launch(
      "qlora_add_bias", over: output.count,
      [read(output), read(bias), write(output), output.dtype.element, count, outs])
  }

  package func denseLinearBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inputGradient: Tensor?,
    weightGradient: Tensor, biasGradient: Tensor?
  ) {
    let (count, width, outs) = (input.shape[0], input.shape[1], weight.shape[0])
    precondition(outputGradient.shape == [count, outs] && weight.shape[1] == width)
    precondition(weightGradient.shape == weight.shape && biasGradient?.count ?? outs == outs)
    precondition(inputGradient == nil || inputGradient?.count == input.count)
    let gradient = matrix(outputGradient)
    products.multiply(
      gradient.across, matrix(widened(input)), into: writable(weightGradient), rows: outs,
      columns: width, depth: count, adding: true)
    if let biasGradient {
      sumRows(
        outputGradient, bounds: [0, count], into: biasGradient.reshaped([1, outs]), adding: true)
    }
    guard let inputGradient else { return }
    products.multiply(
      gradient, matrix(weight), into: writable(inputGradient), rows: count, columns: width,
      depth: outs)
  }

  package func crossEntropy(_ logits: Tensor, targets: [Int32], gradient: Tensor?) -> Double {
    let (count, classes) = (logits.shape[0], logits.shape[1])
    precondition(targets.count == count && gradient?.count ?? logits.count == logits.count)
    precondition(targets.allSatisfy { $0 >= 0 && $0 < classes })
    if count == 0 { return 0 }
    let (losses, labels) = (allocate([count], .float64), integers.tensor(targets))
    kernels.launch(
      "qlora_softmax_loss", grid: (count, 1, 1), threads: 256,
      [
        read(logits), classes, read(labels), write(losses), DeviceAddress(0),
        gradient.map(write) ?? 0, DType.float32.element, classes, Float(0),
      ])
    let sums = losses.withElements(Double.self) { Array($0) }
    return device.failure == nil ? sums.reduce(0, +) : .nan
  }
}
