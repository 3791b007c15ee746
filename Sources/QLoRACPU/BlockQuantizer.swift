// Encodes a stream of floats into 4-bit blocks, bit for bit as bitsandbytes does on a CPU. It knows
// nothing of layouts: each finished stretch goes to a sink as one code per byte.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

// SAFETY: staging never exceeds its capacity; items encode disjoint stretches.
/// Quantizes `count` elements that arrive in pieces.
/// Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, section 3.
final class BlockQuantizer {
  /// Codes `[range.count]` of elements `range`; blocks never straddle two calls. Called from
  /// several threads, for stretches that are disjoint.
  typealias Sink = (_ range: Range<Int>, _ codes: UnsafePointer<UInt8>) -> Void

  /// Elements of one work item; a multiple of every block size.
  private static let stretch = 16_384
  /// What keeps `1 / absmax` finite for a block of zeros.
  private static let smallestScale: Float = 1e-38

  let count: Int
  let blockSize: Int
  /// `[blocks]`, filled as elements arrive.
  let absmax: Storage
  private let ascending: [UInt8]
  private let thresholds: [Float]
  private let backend: CPUBackend
  private let staging: Storage
  private let stagingCapacity: Int
  private var staged = 0
  private var flushed = 0
  private let sink: Sink

  init(count: Int, spec: QuantizationSpec, backend: CPUBackend, sink: @escaping Sink) {
    self.count = count
    blockSize = spec.blockSize
    // Scales that are to be quantized in turn live as long as this object: the pool lends the same
    // memory to the next weight.
    let scaleBytes = (count + spec.blockSize - 1) / spec.blockSize * 4
    absmax =
      spec.doubleQuantized
      ? backend.storagePool.borrow(scaleBytes) : Storage(byteCount: scaleBytes)
    let table = FourBitTable(spec.type)
    ascending = table.ascending
    thresholds = table.thresholds
    self.backend = backend
    stagingCapacity = Self.stretch * 4 * backend.threadPool.threads
    staging = backend.storagePool.borrow(stagingCapacity * 4)
    self.sink = sink
  }

  /// - Throws: for a NaN or an infinity, or for more than `count` elements.
  func append(_ values: UnsafeBufferPointer<Float>) throws {
    guard flushed + staged + values.count <= count else {
      throw Diagnostic(
        .weightIncomplete,
        "the weight has more than the \(count) elements of its shape")
    }
    var rest = values[...]
    while !rest.isEmpty {
      let part = rest.prefix(stagingCapacity - staged)
      let place = staging.baseAddress.assumingMemoryBound(to: Float.self) + staged
      place.update(from: UnsafeBufferPointer(rebasing: part).baseAddress!, count: part.count)
      staged += part.count
      rest = rest.dropFirst(part.count)
      if staged == stagingCapacity { try flush() }
    }
  }

  /// - Throws: for fewer than `count` elements.
  func finish() throws {
    try flush()
    guard flushed == count else {
      throw Diagnostic(
        .weightIncomplete,
        "the weight ended after \(flushed) of the \(count) elements of its shape")
    }
  }

  private func flush() throws {
    let values = UnsafePointer(staging.baseAddress.assumingMemoryBound(to: Float.self))
    if let bad = firstNonFinite(values, staged) {
      throw Diagnostic(
        .weightNotFinite, "element \(flushed + bad) of the weight is \(values[bad])",
        remedy: "check the model file; only finite weights can be quantized")
    }
    let kernels = backend.product
    let (storage, memory) = backend.scratch(floats: Self.stretch / 4)
    backend.threadPool.run((staged + Self.stretch - 1) / Self.stretch) { item, worker in
      let first = item * Self.stretch
      let range = first..<min(first + Self.stretch, staged)
      let codes = UnsafeMutableRawPointer(memory(worker)).assumingMemoryBound(to: UInt8.self)
      encode(values, range, codes, kernels)
      sink(flushed + range.lowerBound..<flushed + range.upperBound, codes)
    }
    withExtendedLifetime(storage) {}
    flushed += staged
    staged = 0
  }

  /// Blocks of elements `range` of the staging memory.
  private func encode(
    _ values: UnsafePointer<Float>, _ range: Range<Int>, _ codes: UnsafeMutablePointer<UInt8>,
    _ kernels: qlora_product_kernels
  ) {
    let scales = absmax.baseAddress.assumingMemoryBound(to: Float.self)
    for start in stride(from: range.lowerBound, to: range.upperBound, by: blockSize) {
      let length = min(blockSize, range.upperBound - start)
      let largest = kernels.absmax(length, values + start)
      let divisor = max(largest, Self.smallestScale)
      // bitsandbytes multiplies whole blocks by the reciprocal, divides the rest of the last one,
      // and stores the guarded scale for that one only.
      let whole = length == blockSize
      scales[(flushed + start) / blockSize] = whole ? largest : divisor
      kernels.encode(
        length, values + start, whole ? 1 / divisor : divisor, whole ? 0 : 1, thresholds,
        codes + (start - range.lowerBound))
    }
    if ascending[1] != 1 {
      for index in 0..<range.count { codes[index] = ascending[Int(codes[index])] }
    }
  }

  private func firstNonFinite(_ values: UnsafePointer<Float>, _ count: Int) -> Int? {
    if allFinite(values, count) { return nil }
    return (0..<count).first { !values[$0].isFinite }
  }
}

// SAFETY: reads `count` floats, which the caller has.
/// Whether no exponent is all ones; without an early exit, so that the loop is vectorized.
func allFinite(_ values: UnsafePointer<Float>, _ count: Int) -> Bool {
  var largest: UInt32 = 0
  for index in 0..<count { largest = max(largest, values[index].bitPattern & 0x7FFF_FFFF) }
  return largest < 0x7F80_0000
}
