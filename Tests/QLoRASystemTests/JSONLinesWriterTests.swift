// The log continues at an exact byte, and neither tears nor full disks spoil it.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import TestSupport
import Testing

@Suite struct JSONLinesWriterTests {
  private func text(_ path: String) throws -> String {
    String(decoding: try PosixFileSystem().readAll(path), as: UTF8.self)
  }

  @Test func continuesWhereTheRecordSays() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("m.jsonl")
    let first = try JSONLinesWriter(path, keeping: 0)
    try first.append(.dictionary([("step", .int(1))]))
    let recorded = first.byteCount
    try first.append(.dictionary([("step", .int(2))]))
    let second = try JSONLinesWriter(path, keeping: recorded)
    try second.append(.dictionary([("step", .int(3))]))
    #expect(try text(path) == "{\"step\": 1}\n{\"step\": 3}\n")
    #expect(second.byteCount == 24)
  }

  @Test(arguments: [13, 18, 22, 1_000])
  func cutsATornLine(keeping: Int) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("m.jsonl")
    try Data("{\"step\": 1}\n{\"step\": 2".utf8).write(to: URL(filePath: path))
    let log = try JSONLinesWriter(path, keeping: keeping)
    #expect(log.byteCount == 12)
    try log.append(.dictionary([("step", .int(2))]))
    #expect(try text(path) == "{\"step\": 1}\n{\"step\": 2}\n")
  }

  @Test(arguments: [Fault.full, .inputOutput, .interrupted, .shortWrite])
  func aFailedLineIsWrittenByTheNextCall(fault: Fault) throws {
    for position in 0..<8 {
      let folder = try TemporaryFolder()
      let path = folder.path("m.jsonl")
      let faulting = FaultingFileSystem(at: position, fault: fault)
      guard let log = try? JSONLinesWriter(path, keeping: 0, faulting) else { continue }
      for step in 1...4 { try? log.append(.dictionary([("step", .int(step))])) }
      try? log.synchronize()
      let lines = try text(path).split(separator: "\n")
      #expect(lines == (1...4).map { "{\"step\": \($0)}" }, "\(fault) at \(position)")
    }
  }

  @Test func aFullDeviceIsADiagnostic() throws {
    let real = PosixFileSystem()
    let file = try real.openForAppending("/dev/full")
    defer { real.close(file) }
    let failure = [UInt8(1)].withUnsafeBytes { bytes in
      #expect(throws: FileFailure.self) { try real.writeAll(file, bytes) }
    }
    #expect(failure?.diagnostic.code == .diskFull)
    #expect(failure?.diagnostic.code.exitCode == .inputOutput)
  }
}
