// What a file system says of a path with nothing at it, and of a call that failed.

import Foundation
import QLoRADiagnostics
import QLoRASystem
import TestSupport
import Testing

@Suite struct FileStatusTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func nothingIsBelowAFile() throws {
    let files = PosixFileSystem()
    let path = folder.path("file")
    try AtomicFile.write(path, Array("content".utf8))
    #expect(try files.status(path)?.kind == .file)
    #expect(try files.status(FilePath.join(path, "below")) == nil)
    #expect(try files.status(folder.path("nothing")) == nil)
  }

  @Test func touchingMakesNowTheTimeOfTheLastChange() throws {
    let files = PosixFileSystem()
    let path = folder.path("old")
    try files.makeDirectory(path)
    let before = try #require(try files.status(path)).changed
    // The clock of file systems ticks slowly.
    var after = before
    for _ in 0..<1000 where after == before {
      usleep(1000)
      try files.touch(path)
      after = try #require(try files.status(path)).changed
    }
    #expect(after > before && before > 1_600_000_000_000_000_000)
    #expect(throws: FileFailure.self) { try files.touch(folder.path("nothing")) }
  }

  @Test func aMappedFileHasItsBytes() throws {
    let path = folder.path("mapped")
    let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try AtomicFile.write(path, content)
    let mapped = try MappedFile(path, byteCount: content.count)
    // Mapped memory outlives the name.
    try PosixFileSystem().remove(path)
    #expect(Array(mapped.bytes) == content)
  }

  @Test func mappingRefusesWhatIsNotTheFile() throws {
    let path = folder.path("small")
    try AtomicFile.write(path, [1, 2, 3])
    try AtomicFile.write(folder.path("empty"), [])
    for (name, count) in [("small", 2), ("small", 4), ("small", 0), ("empty", 0), ("none", 3)] {
      #expect(throws: FileFailure.self) {
        try MappedFile(folder.path(name), byteCount: count)
      }
    }
    #expect(throws: FileFailure.self) { try MappedFile(folder.url.path(), byteCount: 4096) }
  }

  @Test func aFailedCallIsDiagnosable() {
    let failure: any Error = FileFailure(.read, folder.path("nothing"), 2)
    #expect((failure as? any DiagnosableError)?.diagnostic.code == .pathMissing)
  }
}
