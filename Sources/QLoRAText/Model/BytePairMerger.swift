// Merges the symbols of one word into tokens, always the pair of lowest rank first, leftmost among
// equals. Short words are scanned, long ones go through a heap; both give the same tokens.
// Source: Sennrich et al. 2016, arXiv:1508.07909, section 3.2.

struct BytePairMerger: Sendable {
  let merges: MergeTable

  /// Longer words are merged by a heap; below this, scanning is faster than keeping order.
  private static let scanLimit = 48

  /// Merges `tokens[start...]`.
  func merge(_ tokens: inout [WordToken], from start: Int) {
    let count = tokens.count - start
    if count > Self.scanLimit {
      mergeByHeap(&tokens, from: start)
    } else if count > 1 {
      mergeByScanning(&tokens, from: start)
    }
  }

  /// Keeps the merge of each neighbouring pair, so that a merge looks up only two new ones.
  private func mergeByScanning(_ tokens: inout [WordToken], from start: Int) {
    var count = tokens.count - start
    var pairs = [UInt64](repeating: .max, count: count)
    for index in 0..<count - 1 {
      pairs[index] = merges.merge(tokens[start + index].id, tokens[start + index + 1].id) ?? .max
    }
    while count > 1 {
      var best = UInt64.max
      var place = -1
      for index in 0..<count - 1 where pairs[index] < best {
        best = pairs[index]
        place = index
      }
      guard place >= 0 else { break }
      tokens[start + place].id = Int32(truncatingIfNeeded: best)
      tokens[start + place].byteCount += tokens[start + place + 1].byteCount
      count -= 1
      for index in place + 1..<max(count, place + 1) {
        tokens[start + index] = tokens[start + index + 1]
        pairs[index] = index + 1 < count ? pairs[index + 1] : .max
      }
      if place + 1 < count {
        pairs[place] =
          merges.merge(tokens[start + place].id, tokens[start + place + 1].id) ?? .max
      }
      if place > 0 {
        pairs[place - 1] =
          merges.merge(tokens[start + place - 1].id, tokens[start + place].id) ?? .max
      }
    }
    tokens.removeLast(tokens.count - start - count)
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

  private func mergeByHeap(_ tokens: inout [WordToken], from start: Int) {
    var symbols = Array(tokens[start...])
    let count = symbols.count
    // A linked list over `symbols`; a merged-away symbol has the id -1.
    var next = (0..<count).map { Int32($0 + 1) }
    var previous = (0..<count).map { Int32($0 - 1) }
    var heap = MinimumHeap<Candidate>()
    func consider(_ left: Int32, _ right: Int32) {
      guard left >= 0, right < count else { return }
      let (leftID, rightID) = (symbols[Int(left)].id, symbols[Int(right)].id)
      guard let merge = merges.merge(leftID, rightID) else { return }
      heap.insert(
        Candidate(merge: merge, left: left, right: right, leftID: leftID, rightID: rightID))
    }
    for index in 0..<Int32(count - 1) { consider(index, index + 1) }
    while let candidate = heap.removeMinimum() {
      let (left, right) = (Int(candidate.left), Int(candidate.right))
      guard symbols[left].id == candidate.leftID, symbols[right].id == candidate.rightID,
        next[left] == candidate.right
      else { continue }
      symbols[left].id = Int32(truncatingIfNeeded: candidate.merge)
      symbols[left].byteCount += symbols[right].byteCount
      symbols[right].id = -1
      next[left] = next[right]
      if next[right] < count { previous[Int(next[right])] = candidate.left }
      consider(previous[left], candidate.left)
      consider(candidate.left, next[left])
    }
    tokens.removeLast(count)
    tokens.append(contentsOf: symbols.lazy.filter { $0.id >= 0 })
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
