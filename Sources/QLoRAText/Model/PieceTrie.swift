// The pieces of a vocabulary as a double array, which finds all those that begin at a place.
// Source: Aoe 1989, "An efficient digital search algorithm by using a double-array structure".

struct PieceTrie: Sendable, Equatable {
  fileprivate struct Cell: Sendable, Equatable {
    /// Where the children are: the one by byte b in cell `base + b`.
    var base: Int32 = 0
    /// The parent; -1 for a free cell.
    var parent: Int32 = -1
    /// The piece that ends here, or -1.
    var value: Int32 = -1
  }

  /// The length of the longest piece.
  private(set) var longest = 0
  /// ASCII characters that a piece begins with.
  private(set) var starts = ASCIISet()
  private var cells = [Cell](repeating: Cell(), count: 512)
  /// No cell below is free, or worth a try.
  private var firstFree = 1
  /// Every cell from here on is free.
  private var end = 1

  /// - Parameter pieces: texts with their values, in any order; of equal ones the first counts.
  init(_ pieces: [(text: ArraySlice<UInt8>, value: Int32)]) {
    let sorted = pieces.enumerated().filter { !$0.element.text.isEmpty }.sorted { one, other in
      one.element.text.lexicographicallyPrecedes(other.element.text)
        || (one.element.text.elementsEqual(other.element.text) && one.offset < other.offset)
    }.map(\.element)
    longest = sorted.reduce(0) { max($0, $1.text.count) }
    for piece in sorted { starts.insert(Self.byte(piece.text, 0)) }
    cells[0].parent = 0
    var open = [(cell: 0, range: sorted.indices, depth: 0)]
    while let (cell, range, depth) = open.popLast() {
      var start = range.lowerBound
      while start < range.upperBound, sorted[start].text.count == depth {
        if cells[cell].value < 0 { cells[cell].value = sorted[start].value }
        start += 1
      }
      guard start < range.upperBound else { continue }
      var children: [(byte: UInt8, range: Range<Int>)] = []
      while start < range.upperBound {
        let byte = Self.byte(sorted[start].text, depth)
        let first = start
        while start < range.upperBound, Self.byte(sorted[start].text, depth) == byte { start += 1 }
        children.append((byte, first..<start))
      }
      let base = place(children.map(\.byte))
      cells[cell].base = Int32(base)
      for child in children {
        let next = base + Int(child.byte)
        cells[next].parent = Int32(cell)
        end = max(end, next + 1)
        open.append((next, child.range, depth + 1))
      }
    }
  }

  private static func byte(_ text: ArraySlice<UInt8>, _ index: Int) -> UInt8 {
    text[text.startIndex + index]
  }

  /// A base at which the cells of all bytes are free; the array is grown to hold it.
  private mutating func place(_ bytes: [UInt8]) -> Int {
    // Cells that nobody fits into are left after some tries, or building would take for ever.
    let tries = 64
    while firstFree < cells.count, cells[firstFree].parent >= 0 { firstFree += 1 }
    let first = Int(bytes[0])
    // A base is a cell's number less the first byte, and more than 0.
    var cell = max(firstFree, first + 1)
    for _ in 0..<tries {
      while cell < cells.count, cells[cell].parent >= 0 { cell += 1 }
      let base = cell - first
      grow(base + 256)
      if bytes.allSatisfy({ cells[base + Int($0)].parent < 0 }) { return base }
      cell += 1
    }
    firstFree = max(firstFree, cell - tries)
    grow(end + 256)
    return end
  }

  private mutating func grow(_ count: Int) {
    if cells.count < count {
      let more = max(count - cells.count, cells.count / 4)
      cells.append(contentsOf: repeatElement(Cell(), count: more))
    }
  }

  /// Calls `body` with the length and value of each piece that begins a range, short ones first.
  @inline(__always)
  func forEachMatch(_ bytes: [UInt8], _ range: Range<Int>, _ body: (Int, Int32) -> Void) {
    withWalk { walk in
      bytes.withUnsafeBufferPointer { walk.forEachMatch($0, range, body) }
    }
  }

  /// For many places of a text: what a walk needs of the cells is taken from them once.
  @inline(__always)
  func withWalk<Result>(_ body: (Walk) -> Result) -> Result {
    cells.withUnsafeBufferPointer { body(Walk(cells: $0)) }
  }

  struct Walk {
    fileprivate let cells: UnsafeBufferPointer<Cell>

    /// As `PieceTrie.forEachMatch`.
    @inline(__always)
    func forEachMatch(
      _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ body: (Int, Int32) -> Void
    ) {
      var node = 0
      var index = range.lowerBound
      while index < range.upperBound {
        let next = Int(cells[node].base) + Int(bytes[index])
        guard next < cells.count, Int(cells[next].parent) == node, next != 0 else { return }
        node = next
        index += 1
        if cells[node].value >= 0 { body(index - range.lowerBound, cells[node].value) }
      }
    }
  }

  /// The length of the longest piece that begins a range.
  func longestMatch(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
    var longest: Int?
    forEachMatch(bytes, range) { count, _ in longest = count }
    return longest
  }
}
