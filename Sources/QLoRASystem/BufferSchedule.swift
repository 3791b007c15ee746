// Which range of a file to read next, and in whose place: bookkeeping without threads or bytes.

/// Ranges, by number, that share a few buffers. The order in which they will be wanted is
/// announced, so the one that leaves is always the one wanted last.
/// Source: Belady 1966, "A study of replacement algorithms for a virtual-storage computer", for
/// why that takes the fewest reads.
package struct BufferSchedule {
  /// The range that each buffer holds; nil while it holds none.
  package private(set) var contents: [Int?]
  /// The range in use, which stays.
  package private(set) var lent: Int?
  /// Ranges that will be wanted after it.
  private var order: ArraySlice<Int> = []

  package init(bufferCount: Int) { contents = Array(repeating: nil, count: bufferCount) }

  package mutating func expect(_ order: [Int]) { self.order = order[...] }

  /// From here on `range` is in use, and the one before it no more.
  package mutating func lend(_ range: Int) {
    if let place = order.firstIndex(of: range) { order = order[(place + 1)...] }
    lent = range
  }

  package func buffer(of range: Int) -> Int? { contents.firstIndex(of: range) }

  /// A range to read and the buffer for it, which holds nothing until `finish`; nil where no
  /// buffer is free of what is wanted earlier.
  package mutating func next() -> (range: Int, buffer: Int)? {
    let wanted = (lent.map { [$0] } ?? []) + order
    for (time, range) in wanted.enumerated() where !contents.contains(range) {
      let uses = contents.map { held in
        held.map { wanted.firstIndex(of: $0) ?? .max } ?? .max
      }
      guard let last = uses.max(), last > time, let buffer = uses.firstIndex(of: last) else {
        return nil
      }
      contents[buffer] = nil
      return (range, buffer)
    }
    return nil
  }

  /// `buffer` holds `range` now.
  package mutating func finish(_ range: Int, in buffer: Int) { contents[buffer] = range }
}
