// The norm that a sample's vectors scale and shift, the residual behind their gate, and the loss of
// models that predict numbers.
import QLoRATensor

extension CUDABackend {
  package func modulatedNorm(
    _ input: Tensor, shift: Tensor, scale: Tensor, bounds: [Int], epsilon: Float,
    into output: Tensor, statistics: Tensor
  ) {
    let samples = samples(input, scale, bounds)
    precondition(output.count == input.count && statistics.count == 2 * input.shape[0])
    precondition(shift.count == scale.count)
    launchRows(
      "qlora_modulated_norm", input.shape[0], width: scale.shape[-1],
      [
        read(input), input.dtype.element, read(shift), read(scale), read(samples), write(output),
        output.dtype.element, write(statistics), epsilon,
      ])
  }

  package func modulatedNormBackward(
    _ outputGradient: Tensor, input: Tensor, scale: Tensor, statistics: Tensor, bounds: [Int],
    inputGradient: Tensor?, accumulating: Bool, shiftGradient: Tensor?, scaleGradient: Tensor?
  ) {
    let samples = samples(input, scale, bounds)
    precondition(outputGradient.count == input.count)
    if let inputGradient {
      precondition(inputGradient.count == input.count)
      launchRows(
        "qlora_modulated_norm_backward", input.shape[0], width: scale.shape[-1],
        [
          read(outputGradient), read(input), input.dtype.element, read(scale), read(samples),
          read(statistics), write(inputGradient), Int32(accumulating ? 1 : 0),
        ])
    }
    if let shiftGradient { sumRows(outputGradient, bounds: bounds, into: shiftGradient) }
    if let scaleGradient {
      sumRows(outputGradient, times: input, statistics, bounds: bounds, into: scaleGradient)
    }
  }

  package func gatedAdd(
    _ residual: Tensor, _ values: Tensor, gate: Tensor, bounds: [Int], into output: Tensor
  ) {
    precondition(values.count == residual.count && output.count == residual.count)
    addGated(residual, values, gate, bounds, into: output)
  }

  package func gatedAddBackward(
    _ outputGradient: Tensor, values: Tensor?, gate: Tensor, bounds: [Int],
    valuesGradient: Tensor?, gateGradient: Tensor?
  ) {
    if let valuesGradient {
      precondition(valuesGradient.count == outputGradient.count)
      addGated(nil, outputGradient, gate, bounds, into: valuesGradient)
    }
    guard let values, let gateGradient else { return }
    sumRows(outputGradient, times: values, bounds: bounds, into: gateGradient)
  }

  private func addGated(
    _ residual: Tensor?, _ values: Tensor, _ gate: Tensor, _ bounds: [Int], into output: Tensor
  ) {
    let (samples, width) = (samples(values, gate, bounds), gate.shape[-1])
    launch(
      "qlora_gated_add", overPiecesOf: width, rows: values.count / width,
      [
        residual.map(read) ?? 0, residual?.dtype.element ?? 0, read(values), values.dtype.element,
        read(gate), read(samples), write(output), output.dtype.element, values.count / width,
        width,
      ])
  }

  /// Columns that a block of the kernel sums.
  private static let summedColumns = 32

  /// `output [samples, width]` = Σ over the rows of each sample of `gradient`, times `factor` where
  /// there is one, normalized by `statistics` where there are some; added to it where `adding`.
  func sumRows(
    _ gradient: Tensor, times factor: Tensor? = nil, _ statistics: Tensor? = nil, bounds: [Int],
    into output: Tensor, adding: Bool = false
  ) {
    let (count, width) = (bounds.count - 1, output.shape[-1])
    precondition(output.count == count * width && gradient.count == (bounds.last ?? 0) * width)
    precondition(factor?.count ?? gradient.count == gradient.count)
    let places = integers.tensor(bounds.map(Int32.init))
    kernels.launch(
      "qlora_sum_rows",
      grid: ((width + Self.summedColumns - 1) / Self.summedColumns, count, 1), threads: 256,
      [
        read(gradient), factor.map(read) ?? 0, factor?.dtype.element ?? 0,
        statistics.map(read) ?? 0, read(places), write(output), width, Int32(adding ? 1 : 0),
      ])
  }

  /// Which sample each row belongs to, `[rows]` int32.
  private func samples(_ rows: Tensor, _ vectors: Tensor, _ bounds: [Int]) -> Tensor {
    let width = vectors.shape[-1]
    precondition(vectors.dtype == .float32 && vectors.count == (bounds.count - 1) * width)
    precondition(rows.count == (bounds.last ?? 0) * width, "bounds must cover rows")
    return integers.tensor(
      zip(bounds, bounds.dropFirst()).enumerated().flatMap { sample, bound in
        repeatElement(Int32(sample), count: bound.1 - bound.0)
      })
  }

  package func squaredError(
    _ prediction: Tensor, target: Tensor, weights: [Float], bounds: [Int], gradient: Tensor?
  ) -> Double {
    let (rows, width) = (prediction.shape[0], prediction.shape[-1])
    precondition(target.count == prediction.count && weights.count == bounds.count - 1)
    precondition(prediction.count == (bounds.last ?? 0) * width && bounds.last == rows)
    precondition(gradient?.count ?? prediction.count == prediction.count)
    if rows == 0 { return 0 }
    let losses = allocate([rows], .float64)
    for (sample, weight) in weights.enumerated() {
      let range = bounds[sample]..<bounds[sample + 1]
      let (part, wanted) = (prediction.rows(range), target.reshaped(prediction.shape).rows(range))
      kernels.launch(
        "qlora_squared_error", grid: (range.count, 1, 1), threads: 256,
        [
          read(part), part.dtype.element, read(wanted), wanted.dtype.element,
          (gradient?.reshaped(prediction.shape).rows(range)).map(write) ?? 0,
          write(losses.rows(range)), width, weight, part.count,
        ])
    }
    let sums = losses.withElements(Double.self) { Array($0) }
    return device.failure == nil ? sums.reduce(0, +) : .nan
  }
}
