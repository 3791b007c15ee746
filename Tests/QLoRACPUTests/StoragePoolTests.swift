// The pool lends the same bytes again and takes no more from the system than the most needs.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct StoragePoolTests {
  @Test func lendsTheSameMemoryAgain() {
    let pool = StoragePool()
    let first = pool.borrow(1 << 20).baseAddress
    let growth = pool.statistics.growthCount
    for bytes in [1 << 20, 1, 1000, 1 << 19] { #expect(pool.borrow(bytes).baseAddress == first) }
    #expect(pool.statistics.growthCount == growth)
    #expect(pool.statistics.liveBytes == 0)
  }

  @Test(arguments: [0, 1, 63, 64, 65, 4096, 100_000])
  func blocksAreAlignedAndPadded(byteCount: Int) {
    let pool = StoragePool()
    let blocks = (0..<3).map { _ in pool.borrow(byteCount) }
    for block in blocks {
      #expect(UInt(bitPattern: block.baseAddress) % UInt(Storage.alignment) == 0)
      #expect(block.byteCount > byteCount)
      block.baseAddress.initializeMemory(as: UInt8.self, repeating: 7, count: block.byteCount)
    }
    #expect(Set(blocks.map(\.baseAddress)).count == 3)
  }

  @Test func aBlockOutlivesItsPool() {
    let block = StoragePool().borrow(1000)
    block.baseAddress.initializeMemory(as: UInt8.self, repeating: 1, count: 1000)
    #expect(block.baseAddress.load(fromByteOffset: 999, as: UInt8.self) == 1)
  }

  /// As micro-batches of changing token counts: every block has another size each time.
  @Test func changingSizesDoNotMakeItGrow() {
    let pool = StoragePool()
    var generator = SeededGenerator(seed: 3)
    var most = 0
    for _ in 0..<200 {
      pool.restart()
      let tokens = 1000 + generator.below(1048)
      var kept: [Storage] = []
      for _ in 0..<20 {
        let wide = pool.borrow(tokens * 300)
        kept.append(pool.borrow(tokens * 70))
        kept.append(pool.borrow(tokens * 13))
        withExtendedLifetime(wide) {}
      }
      while kept.count > 0 {
        let gradient = pool.borrow(tokens * 200)
        kept.removeLast()
        withExtendedLifetime(gradient) {}
      }
      most = max(most, pool.statistics.extentBytes)
      #expect(pool.statistics.liveBytes == 0)
    }
    // 20 · (70 + 13) + 300 bytes for each of at most 2,047 tokens; a tenth for holes.
    #expect(most <= (20 * 83 + 300) * 2047 * 11 / 10)
    #expect(pool.statistics.growthCount <= 1)
  }
}
