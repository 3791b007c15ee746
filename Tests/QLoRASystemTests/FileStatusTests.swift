// What a file system says of a path with nothing at it, and of a call that failed.

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

  @Test func aFailedCallIsDiagnosable() {
    let failure: any Error = FileFailure(.read, folder.path("nothing"), 2)
    #expect((failure as? any DiagnosableError)?.diagnostic.code == .fileMissing)
  }
}
