// Encodes a stream of floats into 4-bit blocks, bit for bit as bitsandbytes does on a CPU. It knows
// nothing of layouts: each finished stretch goes to a sink as one code per byte.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

// SAFETY: staging and scratch never exceed their capacity; items encode disjoint stretches.
/// Quantizes `count` elements that arrive in pieces, or all at once.
/// Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, section 3.
final class BlockQuantizer {
  /// Codes `[range.count]` of elements `range`; blocks never straddle two calls. Called from
  /// several threads, for stretches that are disjoint.
  typealias Sink = (_ range: Range<Int>, _ codes: UnsafePointer<UInt8>) -> Void

  /// Elements of one work item: 64 KiB of floats, which stay in the second-level cache from the
  /// read to the last look at them. A multiple of every block size.
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
  private let stagingCapacity: Int
  private lazy var staging = backend.storagePool.borrow(stagingCapacity * 4)
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

  /// Everything at once, each stretch read by the thread that encodes it.
  func fill(_ read: ElementReader) throws {
    precondition(flushed + staged == 0, "a weight is filled at once or in pieces")
    try encode(0..<count, scratchFloats: Self.stretch) { range, scratch in
      try read(range, UnsafeMutableBufferPointer(start: scratch, count: range.count))
      return UnsafePointer(scratch)
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
    guard staged > 0 else { return }
    let values = UnsafePointer(staging.baseAddress.assumingMemoryBound(to: Float.self))
    let first = flushed
    let count = staged
    staged = 0
    try encode(first..<first + count, scratchFloats: 0) { range, _ in
      values + (range.lowerBound - first)
    }
  }

  /// Encodes elements `all`, stretch by stretch on all threads; `values` gives the elements of a
  /// stretch, perhaps in the scratch that it is passed.
  private func encode(
    _ all: Range<Int>, scratchFloats: Int,
    _ values: (Range<Int>, UnsafeMutablePointer<Float>) throws -> UnsafePointer<Float>
  ) throws {
    let kernels = backend.product
    let (storage, memory) = backend.scratch(floats: scratchFloats + Self.stretch / 4)
    let failure = EarliestFailure()
    backend.threadPool.run((all.count + Self.stretch - 1) / Self.stretch) { item, worker in
      let first = all.lowerBound + item * Self.stretch
      let range = first..<min(first + Self.stretch, all.upperBound)
      let scratch = memory(worker)
      let codes = UnsafeMutableRawPointer(scratch + scratchFloats)
        .assumingMemoryBound(to: UInt8.self)
      failure.attempt(item) {
        try encode(try values(range, scratch), range, codes, kernels)
        sink(range, codes)
      }
    }
    withExtendedLifetime(storage) {}
    try failure.rethrow()
    flushed += all.count
  }

  /// The blocks of elements `range`, which begins at a block's start.
  private func encode(
    _ values: UnsafePointer<Float>, _ range: Range<Int>, _ codes: UnsafeMutablePointer<UInt8>,
    _ kernels: qlora_product_kernels
  ) throws {
    let scales = absmax.baseAddress.assumingMemoryBound(to: Float.self)
    for start in stride(from: 0, to: range.count, by: blockSize) {
      let length = min(blockSize, range.count - start)
      let largest = kernels.absmax(length, values + start)
      guard largest.isFinite else {
        throw nonFinite(UnsafeBufferPointer(start: values, count: range.count), from: range)
      }
      let divisor = max(largest, Self.smallestScale)
      // bitsandbytes multiplies whole blocks by the reciprocal, divides the rest of the last one,
      // and stores the guarded scale for that one only.
      let whole = length == blockSize
      scales[(range.lowerBound + start) / blockSize] = whole ? largest : divisor
      kernels.encode(
        length, values + start, whole ? 1 / divisor : divisor, whole ? 0 : 1, thresholds,
        codes + start)
    }
    if ascending[1] != 1 {
      for index in 0..<range.count { codes[index] = ascending[Int(codes[index])] }
    }
  }
}

/// Names the first NaN or infinity of `values`, which are elements `range` of a weight.
func nonFinite(_ values: UnsafeBufferPointer<Float>, from range: Range<Int>) -> Diagnostic {
  let index = values.firstIndex { !$0.isFinite } ?? 0
  return Diagnostic(
    .weightNotFinite, "element \(range.lowerBound + index) of the weight is \(values[index])",
    remedy: "check the model file; only finite weights can be held")
}
