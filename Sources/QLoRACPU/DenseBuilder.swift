// Packs a dense weight into panels, without a whole fp32 copy in between.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

// SAFETY: pieces are read within their count; items write panels of their own, in a weight that
// nobody else sees before `finish`.
/// Packs panels as elements arrive.
final class DenseBuilder: WeightBuilder {
  /// Floats of one work item of `fill`, where rows are not longer: they stay in the second-level
  /// cache between reading and packing.
  private static let itemFloats = 16_384

  private let weight: DenseWeight
  private let backend: CPUBackend
  private var received = 0

  init(outFeatures: Int, inFeatures: Int, dtype: DType, backend: CPUBackend) {
    weight = DenseWeight(
      outFeatures: outFeatures, inFeatures: inFeatures, dtype: dtype, backend.rows)
    self.backend = backend
  }

  private var count: Int { weight.outFeatures * weight.inFeatures }

  func append(_ values: UnsafeBufferPointer<Float>) throws {
    guard received + values.count <= count else {
      throw Diagnostic(
        .weightIncomplete, "the weight has more than the \(count) elements of its shape")
    }
    guard let source = values.baseAddress else { return }
    guard isHeld(backend.product.absmax(values.count, source)) else {
      throw notHeld(values, from: received..<received + values.count)
    }
    var done = 0
    while done < values.count {
      let (row, column) = (received + done).quotientAndRemainder(dividingBy: weight.inFeatures)
      let count = min(weight.inFeatures - column, values.count - done)
      weight.insert(source + done, count: count, row: row, column: column)
      done += count
    }
    received += values.count
  }

  /// What float16 would round to infinity is not held by it.
  private func isHeld(_ magnitude: Float) -> Bool {
    magnitude.isFinite && (weight.dtype != .float16 || magnitude < Float16.overflow)
  }

  private func notHeld(
    _ values: UnsafeBufferPointer<Float>, from range: Range<Int>
  ) -> Diagnostic {
    guard values.allSatisfy(\.isFinite), let index = values.firstIndex(where: { !isHeld(abs($0)) })
    else { return nonFinite(values, from: range) }
    return Diagnostic(
      .weightNotFinite,
      "element \(range.lowerBound + index) of the weight is \(values[index]), which is too large "
        + "for float16",
      remedy: "use the compute dtype bfloat16 or float32")
  }

  func fill(_ read: ElementReader) throws {
    precondition(received == 0, "a weight is filled at once or in pieces")
    let groupFloats = 8 * weight.inFeatures
    let groups = weight.groups
    let step = max(1, Self.itemFloats / groupFloats)
    let kernels = backend.product
    let (storage, memory) = backend.scratch(floats: (step + 1) * groupFloats)
    let failure = EarliestFailure()
    backend.threadPool.run((groups + step - 1) / step) { item, worker in
      let scratch = memory(worker)
      let panel = scratch + step * groupFloats
      let range = item * step * groupFloats..<min((item + 1) * step * groupFloats, count)
      failure.attempt(item) {
        let values = UnsafeMutableBufferPointer(start: scratch, count: range.count)
        try read(range, values)
        guard isHeld(kernels.absmax(range.count, scratch)) else {
          throw notHeld(UnsafeBufferPointer(values), from: range)
        }
        for group in item * step..<min((item + 1) * step, groups) {
          weight.insertGroup(
            group, scratch + (group - item * step) * groupFloats, panel, kernels)
        }
      }
    }
    withExtendedLifetime(storage) {}
    try failure.rethrow()
    received = count
  }

  func finish() throws -> any PreparedWeight {
    guard received == count else {
      throw Diagnostic(
        .weightIncomplete,
        "the weight ended after \(received) of the \(count) elements of its shape")
    }
    return weight
  }
}

extension Float16 {
  /// From here on, floats are rounded to infinity.
  fileprivate static let overflow: Float = 65_520
}
