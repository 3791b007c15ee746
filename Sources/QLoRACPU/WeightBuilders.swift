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
    let kernels = backend.product
    let turns: LineTurns? = inFeatures % 16 == 0 ? nil : LineTurns()
    quantizer = BlockQuantizer(
      count: outFeatures * inFeatures, spec: spec, backend: backend
    ) { range, codes in
      turns?.lock()
      lines.insert(codes, count: range.count, first: range.lowerBound, kernels)
      turns?.unlock()
    }
  }

  func append(_ values: UnsafeBufferPointer<Float>) throws { try quantizer.append(values) }

  func fill(_ read: ElementReader) throws { try quantizer.fill(read) }

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

