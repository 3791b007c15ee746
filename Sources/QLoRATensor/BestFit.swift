// Where blocks lie in one stretch of memory: best fit, and neighbours grow together again when they
// are freed. It deals in offsets and knows no memory.

/// The free and the used part of a stretch that begins at 0 and is as long as `capacity`.
package struct BestFit: Sendable {
  private struct Hole {
    var start: Int
    var end: Int
    var count: Int { end - start }
  }

  package let capacity: Int
  /// One past the last byte that was lent since the last `trim()`.
  package private(set) var extent = 0
  /// One past the last byte that is lent now: where the next block goes depends on nothing else
  /// than the blocks that there are, so that a step finds a freed stretch as it finds a new one.
  private var reach = 0
  /// Holes below `reach` by address; no two touch.
  private var holes: [Hole] = []

  package init(capacity: Int) {
    self.capacity = capacity
    // More than a training step ever has at once, so that bookkeeping allocates nothing.
    holes.reserveCapacity(1024)
  }

  /// The place of a block of `count` bytes: in the smallest hole that holds it, the lowest of
  /// equals, else behind the last block. nil where the capacity does not suffice.
  package mutating func place(_ count: Int) -> Int? {
    var best: Int?
    for (index, hole) in holes.enumerated() where hole.count >= count {
      if best.map({ hole.count < holes[$0].count }) ?? true { best = index }
    }
    if let best {
      let start = holes[best].start
      holes[best].start += count
      if holes[best].count == 0 { holes.remove(at: best) }
      return start
    }
    let start = reach
    guard count <= capacity - start else { return nil }
    reach = start + count
    extent = max(extent, reach)
    return start
  }

  /// Forgets how far the stretch was ever lent: the extent ends with the last lent block.
  package mutating func trim() { extent = reach }

  /// Frees a block that `place` returned.
  package mutating func free(_ start: Int, _ count: Int) {
    var (low, high) = (0, holes.count)
    while low < high {
      let middle = (low + high) / 2
      if holes[middle].start < start { low = middle + 1 } else { high = middle }
    }
    let touchesNext = low < holes.count && holes[low].start == start + count
    if low > 0, holes[low - 1].end == start {
      holes[low - 1].end = touchesNext ? holes[low].end : start + count
      if touchesNext { holes.remove(at: low) }
    } else if touchesNext {
      holes[low].start = start
    } else {
      holes.insert(Hole(start: start, end: start + count), at: low)
    }
    // Behind the last block there is no hole.
    if let last = holes.last, last.end == reach {
      reach = last.start
      holes.removeLast()
    }
  }
}
