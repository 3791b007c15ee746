// Turn streams of floats into prepared weights, without a whole fp32 copy in between.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor
import Synchronization

/// Quantizes as elements arrive; the peak is the 4-bit weight and its fp32 absmax values.
final class FourBitBuilder: WeightBuilder {
  private let outFeatures: Int
  private let inFeatures: Int
  private let spec: QuantizationSpec
  private let lines: FourBitLines
  private let quantizer: BlockQuantizer

  init(outFeatures: Int, inFeatures: Int, spec: QuantizationSpec, backend: CPUBackend) {
    self.outFeatures = outFeatures
    self.inFeatures = inFeatures
    self.spec = spec
    let lines = FourBitLines(outFeatures: outFeatures, inFeatures: inFeatures)
    self.lines = lines
    // Stretches end at multiples of the block size; only where those may lie inside a line can two
    // threads meet in one word, and then they take turns.
    let turns: LineTurns? = inFeatures % 16 == 0 ? nil : LineTurns()
    quantizer = BlockQuantizer(
      count: outFeatures * inFeatures, spec: spec, backend: backend
    ) { range, codes in
      turns?.lock()
      lines.insert(codes, count: range.count, first: range.lowerBound)
      turns?.unlock()
    }
  }

  func append(_ values: UnsafeBufferPointer<Float>) throws { try quantizer.append(values) }

  func finish() throws -> any PreparedWeight {
    try quantizer.finish()
    var scales = FourBitScales(absmax: quantizer.absmax)
    if spec.doubleQuantized {
      let blocks = (quantizer.count + spec.blockSize - 1) / spec.blockSize
      scales = NestedQuantizer.quantize(
        quantizer.absmax.baseAddress.assumingMemoryBound(to: Float.self), blocks)
    }
    return FourBitWeight(
      outFeatures: outFeatures, inFeatures: inFeatures, spec: spec, lines: lines.storage,
      scales: scales)
  }
}

/// A lock with a place of its own.
private final class LineTurns: Sendable {
  private let taken = Atomic<Bool>(false)

  func lock() {
    while taken.exchange(true, ordering: .acquiring) { qlora_spin_pause() }
  }

  func unlock() { taken.store(false, ordering: .releasing) }
}

/// Packs fp32 or bf16 panels as elements arrive.
final class DenseBuilder: WeightBuilder {
  private let weight: DenseWeight
  private var received = 0

  init(outFeatures: Int, inFeatures: Int, dtype: DType) {
    weight = DenseWeight(outFeatures: outFeatures, inFeatures: inFeatures, dtype: dtype)
  }

  private var count: Int { weight.outFeatures * weight.inFeatures }

  func append(_ values: UnsafeBufferPointer<Float>) throws {
    guard received + values.count <= count else {
      throw Diagnostic(
        .weightIncomplete, "the weight has more than the \(count) elements of its shape")
    }
    // SAFETY: `source` is read within `values`' count, and `insert` writes into the panels of a
    // weight that nobody else sees before `finish`.
    guard let source = values.baseAddress else { return }
    if !allFinite(source, values.count), let bad = values.firstIndex(where: { !$0.isFinite }) {
      throw Diagnostic(
        .weightNotFinite, "element \(received + bad) of the weight is \(values[bad])",
        remedy: "check the model file")
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

  func finish() throws -> any PreparedWeight {
    guard received == count else {
      throw Diagnostic(
        .weightIncomplete,
        "the weight ended after \(received) of the \(count) elements of its shape")
    }
    return weight
  }
}
