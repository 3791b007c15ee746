// Merges the bytes of one word into tokens, always the pair of lowest rank first, leftmost among
// equals. Short words are scanned, long ones go through a heap; both give the same tokens.
// Source: Sennrich et al. 2016, arXiv:1508.07909, section 3.2.

struct BytePairMerger: Sendable {
  let merges: MergeTable
  /// The id of each single byte, or -1 where the vocabulary lacks it; such bytes give no token.
  let byteIDs: [Int32]

  /// Longer words are merged by a heap; below this, scanning is faster than keeping order.
  private static let scanLimit = 48

  /// Appends the tokens of `bytes[range]` to `ids`.
  func merge(_ bytes: [UInt8], _ range: Range<Int>, into ids: inout [Int32]) {
    let start = ids.count
    for index in range where byteIDs[Int(bytes[index])] >= 0 {
      ids.append(byteIDs[Int(bytes[index])])
    }
    if ids.count - start > Self.scanLimit {
      mergeByHeap(&ids, from: start)
    } else if ids.count - start > 1 {
      mergeByScanning(&ids, from: start)
    }
  }

  private func mergeByScanning(_ ids: inout [Int32], from start: Int) {
    while true {
      var best = UInt64.max
      var place = -1
      for index in start..<ids.count - 1 {
        if let merge = merges.merge(ids[index], ids[index + 1]), merge < best {
          best = merge
          place = index
        }
      }
      guard place >= 0 else { return }
      ids[place] = Int32(truncatingIfNeeded: best)
      ids.remove(at: place + 1)
    }
  }

  /// A pair waiting to be merged.
  private struct Candidate: Comparable {
    var merge: UInt64
    var left: Int32
    var right: Int32
    /// The two ids when the pair was found; another merge may have changed them since.
    var leftID: Int32
    var rightID: Int32

    static func < (one: Self, other: Self) -> Bool {
      one.merge != other.merge ? one.merge < other.merge : one.left < other.left
    }
  }

  private func mergeByHeap(_ ids: inout [Int32], from start: Int) {
    var symbols = Array(ids[start...])
    let count = symbols.count
    // A linked list over `symbols`; a merged-away symbol has the id -1.
    var next = (0..<count).map { Int32($0 + 1) }
    var previous = (0..<count).map { Int32($0 - 1) }
    var heap = MinimumHeap<Candidate>()
    func consider(_ left: Int32, _ right: Int32) {
      guard left >= 0, right < count else { return }
      let (leftID, rightID) = (symbols[Int(left)], symbols[Int(right)])
      guard let merge = merges.merge(leftID, rightID) else { return }
      heap.insert(
        Candidate(merge: merge, left: left, right: right, leftID: leftID, rightID: rightID))
    }
    for index in 0..<Int32(count - 1) { consider(index, index + 1) }
    while let candidate = heap.removeMinimum() {
      let (left, right) = (Int(candidate.left), Int(candidate.right))
      guard symbols[left] == candidate.leftID, symbols[right] == candidate.rightID,
        next[left] == candidate.right
      else { continue }
      symbols[left] = Int32(truncatingIfNeeded: candidate.merge)
      symbols[right] = -1
      next[left] = next[right]
      if next[right] < count { previous[Int(next[right])] = candidate.left }
      consider(previous[left], candidate.left)
      consider(candidate.left, next[left])
    }
    ids.removeSubrange(start...)
    for id in symbols where id >= 0 { ids.append(id) }
  }
}

/// A binary heap, the smallest element first.
struct MinimumHeap<Element: Comparable> {
  private var elements: [Element] = []

  mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard elements[child] < elements[parent] else { return }
      elements.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeMinimum() -> Element? {
    guard let last = elements.popLast() else { return nil }
    guard let first = elements.first else { return last }
    elements[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < elements.count else { return first }
      if child + 1 < elements.count, elements[child + 1] < elements[child] { child += 1 }
      guard elements[child] < elements[parent] else { return first }
      elements.swapAt(child, parent)
      parent = child
    }
  }
}
