// A directory is there whole or not at all, whatever call fails and wherever the process dies.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import TestSupport
import Testing

/// Writes a directory of four files, one of them in two pieces, one from its end to its start.
private func commit(_ parent: String, _ fileSystem: any FileSystem) throws {
  let directory = try AtomicDirectory("thing", in: parent, expectedByteCount: 1_000, fileSystem)
  do {
    try directory.write("a.bin", Array(repeating: 7, count: 300))
    try directory.write("b.bin", byteCount: 100) { sink in
      try sink.write([1, 2, 3])
      try sink.write(Array(repeating: 9, count: 200))
    }
    try directory.write("c.txt", Array("text".utf8))
    try directory.write("d.bin", byteCount: 20) { sink in
      for (offset, byte) in [(4, 3), (0, 1)] as [(Int, UInt8)] {
        try [byte, byte, byte, byte].withUnsafeBytes { try sink.write($0, at: offset) }
      }
    }
    _ = try directory.commit(facts: [JSONMember("step", .int(3))])
  } catch {
    directory.discard()
    throw error
  }
}

private func callCount() throws -> Int {
  let folder = try TemporaryFolder()
  let counting = FaultingFileSystem()
  try commit(folder.path("out"), counting)
  return counting.callCount
}

@Suite struct AtomicDirectoryTests {
  @Test func commitsAndVerifies() throws {
    let folder = try TemporaryFolder()
    try commit(folder.path("out"), PosixFileSystem())
    let manifest = try CheckpointManifest.verify(folder.path("out/thing"))
    #expect(manifest.entries.map(\.name) == ["a.bin", "b.bin", "c.txt", "d.bin"])
    #expect(manifest.entries.map(\.byteCount) == [300, 203, 4, 8])
    #expect(manifest.facts == [JSONMember("step", .int(3))])
    #expect(try PosixFileSystem().list(folder.path("out")) == ["thing"])
  }

  @Test func neverReplaces() throws {
    let folder = try TemporaryFolder()
    try commit(folder.path("out"), PosixFileSystem())
    let error = #expect(throws: Diagnostic.self) {
      try commit(folder.path("out"), PosixFileSystem())
    }
    #expect(error?.code == .outputExists)
    #expect(try PosixFileSystem().list(folder.path("out")) == ["thing"])
  }

  @Test func refusesBeforeWritingWhereTheDiskIsTooSmall() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: Diagnostic.self) {
      _ = try AtomicDirectory("thing", in: folder.path("out"), expectedByteCount: 1 << 60)
    }
    #expect(error?.code == .diskFull)
    #expect(error?.code.exitCode == .inputOutput)
    #expect(try PosixFileSystem().list(folder.path("out")) == [])
  }

  @Test(arguments: Fault.allCases)
  func everyFaultAtEveryCall(fault: Fault) throws {
    let count = try callCount()
    #expect(count > 20)
    for position in 0..<count {
      let folder = try TemporaryFolder()
      let out = folder.path("out")
      let faulting = FaultingFileSystem(at: position, fault: fault)
      let succeeded = (try? commit(out, faulting)) != nil
      let real = PosixFileSystem()
      let isThere = (try real.status(out + "/thing")) != nil
      if isThere { try CheckpointManifest.verify(out + "/thing") }
      if succeeded { #expect(isThere, "\(fault) at \(position)") }
      if fault == .shortWrite { #expect(succeeded, "short write at \(position)") }
      // A process that lives on leaves no temporary files; a dead one's are swept by name.
      let left = ((try? real.list(out)) ?? []).filter { $0 != "thing" }
      #expect(left.allSatisfy { $0.hasPrefix(".tmp-thing-") })
      if !fault.isCrash { #expect(left.isEmpty, "\(fault) at \(position): \(left)") }
    }
  }
}

@Suite struct AtomicFileTests {
  @Test(arguments: Fault.allCases)
  func showsTheOldOrTheNewContent(fault: Fault) throws {
    let counting = FaultingFileSystem()
    let scratch = try TemporaryFolder()
    try AtomicFile.write(scratch.path("f"), [1, 2, 3, 4], counting)
    for position in 0..<counting.callCount {
      let folder = try TemporaryFolder()
      let path = folder.path("f")
      try AtomicFile.write(path, [9])
      let faulting = FaultingFileSystem(at: position, fault: fault)
      let succeeded = (try? AtomicFile.write(path, [1, 2, 3, 4], faulting)) != nil
      let content = try PosixFileSystem().readAll(path)
      #expect(content == [1, 2, 3, 4] || (!succeeded && content == [9]))
    }
  }

  @Test func keepsWhatMustNotBeReplaced() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write(folder.path("f"), [1])
    let error = #expect(throws: Diagnostic.self) {
      try AtomicFile.write(folder.path("f"), [2], replacing: false)
    }
    #expect(error?.code.exitCode == .outputExists)
    #expect(try PosixFileSystem().readAll(folder.path("f")) == [1])
    #expect(try PosixFileSystem().list(folder.path("")) == ["f"])
  }

  @Test func aReservationLongerThanTheContentLeavesNoZeros() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write(folder.path("f"), byteCount: 10_000) { try $0.write([5, 6]) }
    #expect(try PosixFileSystem().readAll(folder.path("f")) == [5, 6])
  }
}
