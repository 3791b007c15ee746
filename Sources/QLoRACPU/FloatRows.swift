// Stretches of activations as float32, converted to and from narrower types on the way: for
// operations whose arithmetic is small beside the products that stand around them.
import CQLoRAKernels
import QLoRATensor

// SAFETY: callers name stretches that lie inside the tensors, keep the tensors alive and give
// scratch for as many floats.
extension CPUBackend {
  /// The elements themselves where they are float32, else a copy in `scratch`.
  func floats(
    _ tensor: Tensor, at start: Int, _ count: Int, scratch: UnsafeMutablePointer<Float>
  ) -> UnsafeMutablePointer<Float> {
    if tensor.dtype == .float32 { return tensor.floatAddress(at: start) }
    rows.convert(
      count, tensor.address(at: start), tensor.dtype.element, scratch, qlora_element_f32)
    return scratch
  }

  /// Where to put results for `store`: the elements themselves where they are float32.
  func target(
    _ tensor: Tensor, at start: Int, scratch: UnsafeMutablePointer<Float>
  ) -> UnsafeMutablePointer<Float> {
    tensor.dtype == .float32 ? tensor.floatAddress(at: start) : scratch
  }

  /// Converts what was put at `target` into the tensor.
  func store(
    _ values: UnsafeMutablePointer<Float>, _ tensor: Tensor, at start: Int, _ count: Int
  ) {
    if tensor.dtype == .float32 { return }
    rows.convert(
      count, values, qlora_element_f32, tensor.address(at: start), tensor.dtype.element)
  }

  /// Calls `body` for chunks of rows, none of which spans two samples.
  func runSamples(
    _ bounds: [Int], width: Int,
    _ body: (_ sample: Int, _ rows: Range<Int>, _ worker: Int) -> Void
  ) {
    let size = max(1, Self.chunkElements / max(1, width))
    var chunks: [(sample: Int, rows: Range<Int>)] = []
    for (sample, bound) in zip(bounds, bounds.dropFirst()).enumerated() {
      for start in stride(from: bound.0, to: bound.1, by: size) {
        chunks.append((sample, start..<min(bound.1, start + size)))
      }
    }
    threadPool.run(chunks.count) { item, worker in
      body(chunks[item].sample, chunks[item].rows, worker)
    }
  }
}

/// `Σ` in sixteen interleaved sums: the same order whatever the processor.
@inline(__always)
func interleavedSum(_ count: Int, _ term: (Int) -> Float) -> Float {
  var sums = SIMD16<Float>(repeating: 0)
  let whole = count / 16 * 16
  for start in stride(from: 0, to: whole, by: 16) {
    var terms = SIMD16<Float>()
    for lane in 0..<16 { terms[lane] = term(start + lane) }
    sums += terms
  }
  var sum = sums.sum()
  for index in whole..<count { sum += term(index) }
  return sum
}
