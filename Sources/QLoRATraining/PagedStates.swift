// Where the states of each parameter lie in paged memory: from a page on, so that they come and go
// without their neighbours.
import QLoRASystem
import QLoRATensor

final class PagedStates: Sendable {
  private let memory: PagedMemory
  /// Offsets of each parameter's parts, and the end.
  private let layout: StateLayout

  /// - Parameter byteCounts: of each parameter's parts.
  init(_ byteCounts: [[Int]], in folder: String) throws(FileFailure) {
    layout = StateLayout(byteCounts)
    memory = try PagedMemory(byteCount: layout.byteCount, in: folder)
  }

  // SAFETY: the layout keeps parts apart and inside the memory, which each tensor keeps alive.
  /// Zeros, as long as nobody has written there.
  func tensor(_ shape: Shape, _ dtype: DType, parameter: Int, part: Int) -> Tensor {
    let range = layout.parts[parameter][part]
    guard let start = memory.bytes.baseAddress, shape.count * dtype.byteSize <= range.count else {
      preconditionFailure("a state larger than its place")
    }
    return Tensor(
      shape: shape, dtype: dtype,
      storage: Storage(
        adopting: start + range.lowerBound, byteCount: range.count, owner: StorageLender(memory)))
  }

  /// Begins to read the states of a parameter; past the last one nothing.
  func prepare(_ parameter: Int) {
    if layout.parts.indices.contains(parameter) { memory.prepare(layout.range(parameter)) }
  }

  func release(_ parameter: Int) { memory.release(layout.range(parameter)) }

  func releaseAll() { memory.release(0..<layout.byteCount) }
}

/// Places for states in a file.
struct StateLayout {
  private(set) var parts: [[Range<Int>]] = []
  private(set) var byteCount = 0

  init(_ byteCounts: [[Int]]) {
    for counts in byteCounts {
      var end = byteCount
      parts.append(
        counts.map { count in
          let start = end
          // Kernels may read past the end of a part, as of any storage.
          end += Self.rounded(count + Storage.alignment, to: Storage.alignment)
          return start..<start + count
        })
      byteCount = Self.rounded(end, to: PagedMemory.pageBytes)
    }
  }

  /// The pages of a parameter.
  func range(_ parameter: Int) -> Range<Int> {
    let start = parts[parameter].first?.lowerBound ?? 0
    let next = parameter + 1 < parts.count ? parts[parameter + 1].first?.lowerBound : nil
    return start..<(next ?? byteCount)
  }

  private static func rounded(_ count: Int, to step: Int) -> Int {
    (count + step - 1) / step * step
  }
}
