// First fit over a window: nothing lost, nothing too long, the same every time.
import QLoRAData
import TestSupport
import Testing

struct PackerTests {
  @Test func firstFit() {
    let packed = Packer.pack([0, 1, 2, 3], lengths: [6, 5, 4, 5], maxTokens: 10)
    #expect(packed == [[0, 2], [1, 3]])
  }

  @Test func theWindowClosesTheOldest() {
    // With one open sequence row 2 may not go back to row 0's.
    let packed = Packer.pack([0, 1, 2], lengths: [6, 7, 4], maxTokens: 10, window: 1)
    #expect(packed == [[0], [1], [2]])
    #expect(Packer.pack([0, 1, 2], lengths: [6, 7, 4], maxTokens: 10) == [[0, 2], [1]])
  }

  @Test func rowsOfFullLength() {
    #expect(Packer.pack([1, 0], lengths: [8, 8], maxTokens: 8) == [[1], [0]])
  }

  @Test(arguments: 0..<20)
  func everyRowOnceAndNoneTooLong(_ seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    let maxTokens = Int.random(in: 2...200, using: &generator)
    let lengths = (0..<Int.random(in: 1...400, using: &generator)).map { _ in
      Int.random(in: 1...maxTokens, using: &generator)
    }
    let order = Array(lengths.indices).shuffled(using: &generator)
    let packed = Packer.pack(order, lengths: lengths, maxTokens: maxTokens)
    #expect(packed.flatMap { $0 }.sorted() == Array(lengths.indices))
    #expect(packed.allSatisfy { $0.reduce(0) { $0 + lengths[$1] } <= maxTokens })
    // Two neighbours that fit into one sequence were not both left open: filling is sound.
    let total = lengths.reduce(0, +)
    #expect(packed.count <= max(1, 2 * (total / maxTokens + 1)))
  }

  @Test func fillsShortRowsWell() {
    var generator = SeededGenerator(seed: 1)
    let lengths = (0..<2000).map { _ in Int.random(in: 40...80, using: &generator) }
    let packed = Packer.pack(Array(lengths.indices), lengths: lengths, maxTokens: 512)
    let filled = Double(lengths.reduce(0, +)) / Double(packed.count * 512)
    #expect(filled > 0.95)
  }
}
