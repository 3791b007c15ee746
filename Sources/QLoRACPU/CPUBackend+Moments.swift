// Optimizer states for the kernels, which know float32 only: states in 8 bits are decoded into a
// block's worth of scratch, updated there and encoded again with the block's new scale.
import QLoRATensor

/// A state and the map that its codes mean.
typealias MappedMoment = (moment: OptimizerMoment, map: DynamicMap)

// SAFETY: ranges are whole blocks of tensors whose counts the preconditions compare; the scratch
// holds one block, and each block belongs to one item.
extension CPUBackend {
  /// Calls `update` with ranges that together cover `0 ..< count` and each range's states as
  /// float32, in place or decoded. What it gets for a second state that is nil is unspecified.
  func runBlocks(
    _ count: Int, _ first: MappedMoment, _ second: MappedMoment?,
    _ update: (Range<Int>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  ) {
    let other = second ?? first
    precondition(first.moment.values.count == count && other.moment.values.count == count)
    precondition((first.moment.scales == nil) == (other.moment.scales == nil))
    guard first.moment.scales != nil else {
      runChunks(count) { range in
        let start = range.lowerBound
        update(
          range, first.moment.values.floatAddress(at: start),
          other.moment.values.floatAddress(at: start))
      }
      return
    }
    let blockSize = OptimizerMoment.blockSize
    runChunks(count) { chunk in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * blockSize) { scratch in
        guard let decoded = scratch.baseAddress else { return }
        for start in stride(from: chunk.lowerBound, to: chunk.upperBound, by: blockSize) {
          let range = start..<min(start + blockSize, chunk.upperBound)
          Self.decode(first, range, into: decoded)
          if let second { Self.decode(second, range, into: decoded + blockSize) }
          update(range, decoded, decoded + blockSize)
          Self.encode(decoded, range, into: first)
          if let second { Self.encode(decoded + blockSize, range, into: second) }
        }
      }
    }
  }

  /// `range` is one block.
  private static func decode(
    _ state: MappedMoment, _ range: Range<Int>, into values: UnsafeMutablePointer<Float>
  ) {
    guard let scales = state.moment.scales else { return }
    state.map.decode(
      count: range.count, state.moment.values.pointer(UInt8.self) + range.lowerBound,
      scale: scales[flat: range.lowerBound / OptimizerMoment.blockSize], into: values)
  }

  private static func encode(
    _ values: UnsafeMutablePointer<Float>, _ range: Range<Int>, into state: MappedMoment
  ) {
    guard let scales = state.moment.scales else { return }
    let codes = state.moment.values.pointer(UInt8.self) + range.lowerBound
    scales[flat: range.lowerBound / OptimizerMoment.blockSize] = state.map.encode(
      count: range.count, into: codes) { values[$0] }
  }
}
