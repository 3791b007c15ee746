// Heads of a whole vocabulary that are trained: the products of `linear`, with matrices that stay
// in the order of rows, since the optimizer changes them in every step.
import CQLoRAKernels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

// SAFETY: immutable while a product reads it; groups and columns lie inside the matrix.
/// A float32 matrix, or its transpose, whose panels are made where they are read.
private final class MatrixWeight: PanelWeight, @unchecked Sendable {
  let outFeatures: Int
  let inFeatures: Int
  private let matrix: Tensor
  private let isTransposed: Bool
  var spec: QuantizationSpec? { nil }
  var byteCount: Int { 0 }
  var servesFewTokens: Bool { false }

  /// - Parameter isTransposed: whether `matrix` is `[in, out]`.
  init(_ matrix: Tensor, isTransposed: Bool = false) {
    self.matrix = matrix
    self.isTransposed = isTransposed
    outFeatures = matrix.shape[isTransposed ? 1 : 0]
    inFeatures = matrix.shape[isTransposed ? 0 : 1]
  }

  func decode(
    group: Int, columns: Range<Int>, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    let rows = min(8, outFeatures - group * 8)
    guard isTransposed else {
      return kernels.panel_f32(
        rows, columns.count, matrix.floatAddress(at: group * 8 * inFeatures + columns.lowerBound),
        inFeatures, output)
    }
    let values = matrix.floatAddress(at: columns.lowerBound * outFeatures + group * 8)
    for column in 0..<columns.count {
      let place = output + column * 8
      place.update(from: values + column * outFeatures, count: rows)
      if rows < 8 { (place + rows).update(repeating: 0, count: 8 - rows) }
    }
  }

  /// `servesFewTokens` says that it isn't called.
  func few(
    groups: Range<Int>, tokens: Int, _ x: UnsafePointer<Float>,
    into output: UnsafeMutablePointer<Float>, _ kernels: qlora_product_kernels
  ) {
    preconditionFailure("a matrix in the order of rows serves many tokens")
  }
}

// SAFETY: `CPUBackend+Classifier.swift` has compared every count, and items write disjoint rows.
extension CPUBackend {
  /// Rows of a head from which on it is multiplied here.
  static let wideHead = 512
  /// Rows of the vocabulary whose gradients are added at once: with those of a chunk's logits they
  /// take some megabytes.
  private static let gradientRows = 4096

  /// `output = input · weightᵀ`, in the precision of the input's type.
  func wideLinear(_ input: Tensor, weight: Tensor, into output: Tensor) {
    linear(input, [LinearTerm(weight: MatrixWeight(weight), output: output)])
  }

  /// `weightGradient += gᵀ · input` in float32, and `inputGradient = g · weight`, where g is
  /// `outputGradient`.
  func wideLinearBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inputGradient: Tensor?,
    weightGradient: Tensor
  ) {
    let (count, outs) = (input.shape[0], weight.shape[0])
    let x = MatrixWeight(widened(input), isTransposed: true)
    for start in stride(from: 0, to: outs, by: Self.gradientRows) {
      let rows = start..<min(start + Self.gradientRows, outs)
      let slopes = turned(outputGradient, columns: rows)
      let change = allocate([rows.count, weight.shape[1]], .float32)
      linear(slopes, [LinearTerm(weight: x, output: change)])
      let target = weightGradient.rows(rows)
      add(target, change, into: target)
    }
    guard let inputGradient else { return }
    linearBackward(
      [LinearGradientTerm(weight: MatrixWeight(weight), outputGradient: outputGradient)],
      input: input, inputGradient: inputGradient.reshaped([count, weight.shape[1]]),
      accumulating: false)
  }

  /// Columns of a float32 matrix as rows.
  private func turned(_ matrix: Tensor, columns: Range<Int>) -> Tensor {
    let (count, width) = (matrix.shape[0], matrix.shape[1])
    let result = allocate([columns.count, count], .float32)
    // Sixteen columns are a line of the cache.
    let size = 16
    threadPool.run((columns.count + size - 1) / size) { item in
      let part = item * size..<min((item + 1) * size, columns.count)
      for row in 0..<count {
        let values = matrix.floatAddress(at: row * width + columns.lowerBound)
        for column in part { result.floatAddress(at: column * count)[row] = values[column] }
      }
    }
    return result
  }

  /// Of one row of many logits: its loss, and its probabilities less one at the target in `slopes`,
  /// which may be scratch.
  func wideCrossEntropy(
    _ logits: UnsafePointer<Float>, _ classes: Int, target: Int,
    slopes: UnsafeMutablePointer<Float>
  ) -> Double {
    slopes.update(from: logits, count: classes)
    var (largest, place) = (-Float.infinity, 0)
    for index in 0..<classes where logits[index] > largest {
      (largest, place) = (logits[index], index)
    }
    rows.softmax_row(classes, 1, slopes, nil, slopes, qlora_element_f32)
    // The likeliest one's probability is one through the sum.
    let loss = Double(largest) - log(Double(slopes[place])) - Double(logits[target])
    slopes[target] -= 1
    return loss
  }
}
