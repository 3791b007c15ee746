// Event files byte by byte: the checksum's known answers, one record as other writers make it, and
// what a reader gets back from torn and foreign ones.
import Foundation
import QLoRAReport
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite struct EventFileTests {
  /// RFC 3720, appendix B.4, and the check value of catalogues.
  static let knownAnswers: [(bytes: [UInt8], checksum: UInt32)] = [
    (Array(repeating: 0, count: 32), 0x8A91_36AA), (Array(repeating: 0xFF, count: 32), 0x62A8_AB43),
    (Array(0..<32), 0x46DD_794E), (Array((0..<32).reversed()), 0x113F_DB5C),
    (Array("123456789".utf8), 0xE306_9283), ([], 0),
  ]

  @Test(arguments: knownAnswers.indices)
  func checksumsAreTheStandards(index: Int) {
    let (bytes, expected) = Self.knownAnswers[index]
    #expect(CRC32C.checksum(bytes) == expected)
  }

  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String(format: "%02x", $0) }.joined()
  }

  /// The goldens are what the `tensorboard` package of Python writes for the same events.
  @Test func recordsAreTheGoldens() {
    let version = EventRecord(wallTime: 1.5, step: 0, content: .fileVersion)
    let start = EventRecord(wallTime: 1.5, step: 0, content: .sessionStart)
    let scalars = EventRecord(
      wallTime: 2.25, step: 300, content: .scalars([.init("train/loss", 0.75), .init("b", -1)]))
    #expect(hex(version.bytes) == EventGoldens.version)
    #expect(hex(start.bytes) == EventGoldens.start)
    #expect(hex(scalars.bytes) == EventGoldens.scalars)
  }

  private func read(_ bytes: [UInt8]) -> [ReadEvent] {
    EventFileReader.events(bytes) { CRC32C.masked($0) }
  }

  @Test func recordsAreReadBackUpToTheFirstDamage() {
    var bytes: [UInt8] = []
    var whole: [ReadEvent] = []
    for step in 1...5 {
      let value = Double(step) / 3
      let record = EventRecord(
        wallTime: Double(step), step: step, content: .scalars([.init("a", value)]))
      bytes += record.bytes
      let scalar = ReadScalar(tag: "a", value: Float(value))
      whole.append(ReadEvent(wallTime: Double(step), step: step, scalars: [scalar]))
    }
    #expect(read(bytes) == whole)
    for index in bytes.indices {
      var damaged = bytes
      damaged[index] ^= 4
      for found in [read(Array(bytes.prefix(index))), read(damaged)] {
        #expect(found == Array(whole.prefix(found.count)) && found.count < 5)
      }
    }
  }

  // MARK: The log

  private func metrics(_ step: Int, loss: Double) -> StepMetrics? {
    StepMetrics(
      json: .dictionary([
        ("step", .int(step)), ("loss", .double(loss)), ("learningRate", .double(1e-3)),
        ("elapsedSeconds", .double(Double(step))),
      ]))
  }

  private func eventFiles(_ folder: TemporaryFolder) throws -> [String] {
    try PosixFileSystem().list(folder.path("run")).filter { $0.hasPrefix(EventLog.prefix) }
  }

  /// Every loss that a TensorBoard shows.
  private func losses(_ folder: TemporaryFolder) throws -> [ReadEvent] {
    let events = try eventFiles(folder).flatMap { name in
      read(try PosixFileSystem().readAll(folder.path("run/\(name)")))
    }
    return EventFileReader.shown(events).filter {
      $0.scalars.contains { $0.tag == EventLog.Tag.loss }
    }
  }

  @Test func aResumedRunHasEveryStepOnce() throws {
    let folder = try TemporaryFolder()
    let run = try RunDirectory(starting: folder.path("run"))
    let writer = try JSONLinesWriter(run.metricsPath, keeping: 0)
    var time = 1_000.0
    let log = EventLog(run) { time }
    #expect(log.note(.started(step: 0, stepCount: 6, resumedFrom: nil)) == nil)
    var kept = 0
    for step in 1...4 {
      time += 10
      let line = try #require(metrics(step, loss: Double(step)))
      try writer.append(line.json)
      if step == 2 { kept = writer.byteCount }
      #expect(log.note(.step(line)) == nil)
    }
    // Killed here, and resumed from step 2.
    let again = try JSONLinesWriter(run.metricsPath, keeping: kept)
    time = 5_000
    let second = EventLog(run) { time }
    _ = second.note(.started(step: 2, stepCount: 6, resumedFrom: "x"))
    for step in 3...4 {
      let line = try #require(metrics(step, loss: Double(step) / 2))
      try again.append(line.json)
      _ = second.note(.step(line))
    }
    #expect(try eventFiles(folder).count == 2)
    let found = try losses(folder)
    #expect(found.map(\.step) == [1, 2, 3, 4])
    #expect(found.map { $0.scalars[0].value } == [1, 2, 1.5, 2])
    #expect(found.map(\.wallTime) == [1_010, 5_000, 5_000, 5_000])
  }

  @Test func aRunThatRollsBackForgets() throws {
    let folder = try TemporaryFolder()
    let run = try RunDirectory(starting: folder.path("run"))
    var writer = try JSONLinesWriter(run.metricsPath, keeping: 0)
    let log = EventLog(run) { 7 }
    _ = log.note(.started(step: 0, stepCount: 6, resumedFrom: nil))
    var kept = 0
    for (step, loss) in [(1, 1.0), (2, 2), (3, 3), (2, 9), (3, 8)] {
      if step == 2, loss > 8 { writer = try JSONLinesWriter(run.metricsPath, keeping: kept) }
      let line = try #require(metrics(step, loss: loss))
      try writer.append(line.json)
      if step == 1 { kept = writer.byteCount }
      _ = log.note(.step(line))
    }
    #expect(try losses(folder).map { $0.scalars[0].value } == [1, 9, 8])
  }

  @Test func othersFilesStay() throws {
    let folder = try TemporaryFolder()
    let run = try RunDirectory(starting: folder.path("run"))
    let other = folder.path("run/\(EventLog.prefix)1700000000.host.1.0")
    try Data("x".utf8).write(to: URL(filePath: other))
    _ = try JSONLinesWriter(run.metricsPath, keeping: 0)
    for _ in 0..<2 {
      let log = EventLog(run) { 7 }
      #expect(log.note(.started(step: 0, stepCount: 1, resumedFrom: nil)) == nil)
    }
    #expect(try eventFiles(folder).count == 3)
    #expect(try Data(contentsOf: URL(filePath: other)) == Data("x".utf8))
  }

  @Test func aFullDiskIsToldOnceAndCostsNothing() throws {
    let folder = try TemporaryFolder()
    let run = try RunDirectory(starting: folder.path("run"))
    _ = try JSONLinesWriter(run.metricsPath, keeping: 0)
    try run.fileSystem.remove(run.metricsPath)
    let log = EventLog(run) { 7 }
    #expect(log.note(.started(step: 0, stepCount: 1, resumedFrom: nil)) != nil)
    let line = try #require(metrics(1, loss: 1))
    #expect(log.note(.step(line)) == nil)
  }
}
