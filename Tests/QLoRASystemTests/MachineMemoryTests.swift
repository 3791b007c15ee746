// How much memory is left: the smallest of what the machine and each group of the process has.
import Foundation
import QLoRASystem
import TestSupport
import Testing

@Suite struct MachineMemoryTests {
  /// A machine made of files.
  private func machine(_ files: [String: String]) throws -> (MachineMemory, TemporaryFolder) {
    let folder = try TemporaryFolder()
    for (name, text) in files {
      let url = folder.url.appending(path: name)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: url)
    }
    let root = String(folder.path("x").dropLast(2))
    return (MachineMemory(root: root), folder)
  }

  static let status = ["proc/self/status": "Name:\tx\nVmRSS:\t  2048 kB\n"]
  static let meminfo = ["proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4096 kB\n"]

  @Test func withoutGroups() throws {
    let (memory, folder) = try machine(Self.status.merging(Self.meminfo) { $1 })
    #expect(memory.residentBytes == 2 << 20)
    #expect(memory.availableBytes == 4 << 20)
    #expect(memory.totalBytes == 9000 << 10)
    withExtendedLifetime(folder) {}
  }

  @Test func unifiedGroupsCountWithAllAboveThem() throws {
    let (memory, folder) = try machine(
      Self.meminfo.merging([
        "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "3000000\n",
        "sys/fs/cgroup/a/memory.current": "1000000\n",
        "sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file 600000\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "7\n",
      ]) { $1 })
    #expect(memory.availableBytes == 2_600_000)
    #expect(memory.totalBytes == 3_000_000)
    withExtendedLifetime(folder) {}
  }

  @Test func groupsOfTheFirstVersion() throws {
    let (memory, folder) = try machine(
      Self.meminfo.merging([
        "proc/self/cgroup": "7:cpu:/c\n4:memory,hugetlb:/c\n",
        "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "1500000\n",
        "sys/fs/cgroup/memory/c/memory.usage_in_bytes": "500000\n",
        "sys/fs/cgroup/memory/c/memory.stat": "total_inactive_file 100000\n",
      ]) { $1 })
    #expect(memory.availableBytes == 1_100_000)
    #expect(memory.totalBytes == 1_500_000)
    withExtendedLifetime(folder) {}
  }

  @Test func nothingIsKnownElsewhere() throws {
    let (memory, folder) = try machine([:])
    #expect(memory.availableBytes == nil && memory.residentBytes == nil)
    #expect(memory.totalBytes == nil)
    withExtendedLifetime(folder) {}
  }
}
