// Places of blocks in one stretch: they never overlap, and freed neighbours grow together.
import QLoRATensor
import TestSupport
import Testing

@Suite struct BestFitTests {
  @Test func takesTheSmallestHoleThatHoldsTheBlock() {
    var fit = BestFit(capacity: 1000)
    let places = [100, 10, 60, 10, 80].map { fit.place($0) }
    #expect(places == [0, 100, 110, 170, 180])
    fit.free(0, 100)
    fit.free(110, 60)
    #expect(fit.place(50) == 110)
    #expect(fit.place(70) == 0)
    #expect(fit.place(10) == 160)
    #expect(fit.extent == 260)
  }

  @Test func neighboursGrowTogetherInAnyOrder() {
    for order in [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1]] {
      var fit = BestFit(capacity: 100)
      for _ in 0..<3 { _ = fit.place(30) }
      for index in order { fit.free(index * 30, 30) }
      #expect(fit.place(90) == 0, "freed in order \(order)")
    }
  }

  @Test func aHoleAtTheEndBeginsTheNewBlock() {
    var fit = BestFit(capacity: 100)
    _ = fit.place(40)
    _ = fit.place(20)
    fit.free(40, 20)
    #expect(fit.place(50) == 40)
    #expect(fit.extent == 90)
    #expect(fit.place(20) == nil)
    fit.free(40, 50)
    fit.trim()
    #expect(fit.extent == 40)
    #expect(fit.place(60) == 40)
  }

  /// A plan from one step holds for all that follow.
  @Test func aFreedStretchIsLikeANewOne() throws {
    var fit = BestFit(capacity: 1 << 20)
    let rounds = try (0..<3).map { _ -> [Int] in
      var generator = SeededGenerator(seed: 9)
      var live: [(start: Int, count: Int)] = []
      var places: [Int] = []
      for _ in 0..<600 {
        if live.count > 30 || (!live.isEmpty && generator.unit() < 0.45) {
          let block = live.remove(at: generator.below(live.count))
          fit.free(block.start, block.count)
        } else {
          let count = 1 + generator.below(3000)
          let place = fit.place(count)
          let start = try #require(place)
          places.append(start)
          live.append((start, count))
        }
      }
      for block in live { fit.free(block.start, block.count) }
      return places
    }
    #expect(rounds[0] == rounds[1] && rounds[1] == rounds[2])
  }

  @Test func blocksNeverOverlap() throws {
    var fit = BestFit(capacity: 1 << 20)
    var generator = SeededGenerator(seed: 5)
    var live: [(start: Int, count: Int)] = []
    var owner = [Int](repeating: 0, count: 1 << 20)
    for number in 1...4000 {
      if live.count > 40 || (!live.isEmpty && generator.unit() < 0.5) {
        let block = live.remove(at: generator.below(live.count))
        for byte in block.start..<block.start + block.count { owner[byte] = 0 }
        fit.free(block.start, block.count)
      } else {
        let count = 1 + generator.below(2000)
        let place = fit.place(count)
        let start = try #require(place)
        #expect(owner[start..<start + count].allSatisfy { $0 == 0 })
        for byte in start..<start + count { owner[byte] = number }
        live.append((start, count))
      }
    }
    for block in live { fit.free(block.start, block.count) }
    fit.trim()
    #expect(fit.extent == 0)
  }
}
