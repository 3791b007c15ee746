// What is read ahead is what the file holds, whatever order was announced; and the schedule takes
// as few reads as any could.
import Foundation
import QLoRASystem
import TestSupport
import Testing

@Suite struct ReadAheadTests {
  /// Ranges that begin and end anywhere, some of them inside one block of the disk.
  private static let ranges = [0..<64, 64..<9000, 9024..<9088, 4096..<8192, 20_000..<50_001]

  private func file(_ count: Int, in folder: TemporaryFolder) throws -> [UInt8] {
    var generator = SeededGenerator(seed: 5)
    let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    try Data(bytes).write(to: folder.url.appending(path: "file"))
    return bytes
  }

  @Test(arguments: [2, 3, 5])
  func lendsWhatTheFileHolds(buffers: Int) throws {
    let folder = try TemporaryFolder()
    let bytes = try file(50_001, in: folder)
    let reader = ReadAhead(
      try DirectFile(folder.path("file")), Self.ranges, bufferCount: buffers)
    try FileManager.default.removeItem(atPath: folder.path("file"))
    var generator = SeededGenerator(seed: 6)
    for round in 0..<60 {
      let order = (0..<8).map { _ in Int.random(in: 0..<5, using: &generator) }
      // Right, wrong, and nothing announced.
      if round % 3 < 2 { reader.expect(round % 3 == 0 ? order : order.reversed()) }
      for index in order {
        #expect(Array(reader.lend(index)) == Array(bytes[Self.ranges[index]]), "\(round)")
      }
    }
    #expect(reader.failure == nil)
  }

  /// Reading begins with the announcement, before anybody asks.
  @Test func readsAhead() throws {
    let folder = try TemporaryFolder()
    _ = try file(50_001, in: folder)
    let reader = ReadAhead(try DirectFile(folder.path("file")), Self.ranges, bufferCount: 2)
    reader.expect([3, 1, 2])
    while reader.statistics.reads < 2 { usleep(100) }
    _ = reader.lend(3)
    #expect(reader.statistics.waitedSeconds == 0)
    #expect(reader.statistics.bytes == 4096 + 8936)
  }

  @Test func aFileThatEndsTooSoonIsAFailure() throws {
    let folder = try TemporaryFolder()
    _ = try file(30_000, in: folder)
    let reader = ReadAhead(try DirectFile(folder.path("file")), Self.ranges, bufferCount: 2)
    _ = reader.lend(1)
    #expect(reader.failure == nil)
    #expect(reader.lend(4).count == 30_001)
    #expect(reader.failure?.operation == .read)
  }

  @Test func aScratchFileHasNoName() throws {
    let folder = try TemporaryFolder()
    let files = PosixFileSystem()
    let file = try ScratchFile.write(in: folder.path("new"), byteCount: 9000) { sink in
      try sink.write([UInt8](repeating: 7, count: 9000))
    }
    #expect(try files.list(folder.path("new")).isEmpty)
    let reader = ReadAhead(file, [100..<9000], bufferCount: 2)
    #expect(Array(reader.lend(0)) == [UInt8](repeating: 7, count: 8900))
    struct Stop: Error {}
    #expect(throws: Stop.self) {
      try ScratchFile.write(in: folder.path("new"), byteCount: 9000) { _ in throw Stop() }
    }
    #expect(try files.list(folder.path("new")).isEmpty)
  }

  /// A disk without room shows before the first page, and leaves no file.
  @Test(arguments: [FileOperation.create, .reserve, .truncate])
  func pagesNeedTheirSpace(operation: FileOperation) throws {
    let folder = try TemporaryFolder()
    let files = FaultingFileSystem(at: 0, fault: .full, only: operation)
    let failure = #expect(throws: FileFailure.self) {
      try PagedMemory(byteCount: 100_000, in: folder.url.path(), files)
    }
    #expect(failure?.isDiskFull == true && failure?.operation == operation)
    #expect(try PosixFileSystem().list(folder.url.path()).isEmpty)
  }

  @Test func pagesKeepWhatWasWritten() throws {
    let folder = try TemporaryFolder()
    let memory = try PagedMemory(byteCount: 100_000, in: folder.url.path())
    #expect(try PosixFileSystem().list(folder.url.path()).isEmpty)
    #expect(memory.bytes.allSatisfy { $0 == 0 })
    for index in memory.bytes.indices { memory.bytes[index] = UInt8(index % 251) }
    memory.release(0..<100_000)
    memory.prepare(4096..<8192)
    #expect(memory.bytes.enumerated().allSatisfy { $0.element == UInt8($0.offset % 251) })
  }
}

@Suite struct BufferScheduleTests {
  /// Reads everything that may be read between two uses, and counts.
  private func reads(_ passes: [[Int]], buffers: Int) -> Int {
    var schedule = BufferSchedule(bufferCount: buffers)
    var count = 0
    for (index, pass) in passes.enumerated() {
      schedule.expect(pass + (passes.indices.contains(index + 1) ? passes[index + 1] : []))
      for range in pass {
        schedule.lend(range)
        while let (next, buffer) = schedule.next() {
          #expect(schedule.buffer(of: schedule.lent ?? -1) != buffer || next == range)
          schedule.finish(next, in: buffer)
          count += 1
        }
        #expect(schedule.buffer(of: range) != nil)
      }
    }
    return count
  }

  /// At both ends of a training step what was read last is used first.
  @Test func theTurnsOfATrainingStepCostNoReads() {
    let layers = 10
    let pass = Array(0..<layers) + (0..<layers).reversed()
    #expect(reads([pass, pass, pass], buffers: 2) <= 3 * (2 * layers - 2) + 2)
    #expect(reads([pass, pass, pass], buffers: layers) == layers)
    #expect(reads([[0, 1], [0, 1]], buffers: 2) == 2)
  }

  @Test func whatIsInUseStays() {
    var schedule = BufferSchedule(bufferCount: 2)
    schedule.expect([0, 1, 2, 3])
    schedule.lend(0)
    for _ in 0..<2 {
      guard let (range, buffer) = schedule.next() else { break }
      schedule.finish(range, in: buffer)
    }
    #expect(schedule.contents == [0, 1])
    #expect(schedule.next() == nil)
    // Nobody announced this one.
    schedule.lend(9)
    let found = schedule.next()
    #expect(found?.range == 9)
  }
}
