// One holder at a time, and names of dead processes' files.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import TestSupport
import Testing

@Suite struct RunLockTests {
  @Test func oneHolderAtATime() throws {
    let folder = try TemporaryFolder()
    let first = try RunLock(folder.path(""))
    let error = #expect(throws: Diagnostic.self) { _ = try RunLock(folder.path("")) }
    #expect(error?.code == .outputLocked)
    #expect(error?.code.exitCode == .outputExists)
    withExtendedLifetime(first) {}
  }

  @Test func isFreeAgainWhenItsHolderIsGone() throws {
    let folder = try TemporaryFolder()
    do { _ = try RunLock(folder.path("")) }
    _ = try RunLock(folder.path(""))
  }

  @Test func racesHaveOneWinner() async throws {
    for _ in 0..<50 {
      let folder = try TemporaryFolder()
      let locks = await withTaskGroup(of: RunLock?.self) { group in
        for _ in 0..<8 { group.addTask { try? RunLock(folder.path("")) } }
        var locks: [RunLock] = []
        for await lock in group { if let lock { locks.append(lock) } }
        return locks
      }
      #expect(locks.count == 1)
    }
  }

  @Test func saysWhenTheDirectoryIsMissing() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: Diagnostic.self) { _ = try RunLock(folder.path("none")) }
    #expect(error?.code == .pathMissing)
  }
}

@Suite struct SweepTests {
  @Test func removesOnlyWhatDeadProcessesLeft() throws {
    let folder = try TemporaryFolder()
    let real = PosixFileSystem()
    // Process ids end below 2^22 on Linux, so this one is nobody's.
    let dead = "4194400-0123456789abcdef"
    let stale = [".tmp-step-00000001-\(dead)", ".trash-step-00000002-\(dead)"]
    let kept = [
      TemporaryName.temporary("mine"), TemporaryName.trash("mine"), ".tmp-x", ".tmp-a-b-c",
      ".tmp-a-1-0123456789abcdef", "step-00000001", "notes-\(dead)",
    ]
    for name in stale + kept { try real.makeDirectories(folder.path(name + "/inner")) }
    #expect(real.sweep(folder.path("")) == stale.sorted())
    #expect(try real.list(folder.path("")) == kept.sorted())
  }

  @Test func ofOneTargetWhereOthersWriteToo() throws {
    let folder = try TemporaryFolder()
    let real = PosixFileSystem()
    let dead = "4194400-0123456789abcdef"
    let stale = [".tmp-out-\(dead)", ".trash-out-\(dead)"]
    let kept = [".tmp-out-2-\(dead)", ".tmp-ou-\(dead)", TemporaryName.temporary("out")]
    for name in stale + kept { try real.makeDirectories(folder.path(name)) }
    #expect(real.sweep(folder.path(""), of: "out") == stale)
    #expect(try real.list(folder.path("")) == kept.sorted())
  }

  @Test func aReusedProcessIDIsNotMistakenForThisProcess() {
    let mine = TemporaryName.temporary("x")
    #expect(!TemporaryName.isStale(mine))
    #expect(TemporaryName.isStale(mine.dropLast(16) + "0123456789abcdef"))
  }
}

@Suite struct FilePathTests {
  @Test(arguments: [
    ("a", ".", "a"), ("a/b", "a", "b"), ("/a", "/", "a"), ("a/b/", "a", "b"),
    ("./a", ".", "a"),
  ])
  func splits(path: String, parent: String, last: String) {
    #expect(FilePath.parent(of: path) == parent)
    #expect(FilePath.lastComponent(of: path) == last)
  }
}
