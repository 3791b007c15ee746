// How much memory there is, and how much this process may still take: what the kernel calls
// available, under the limits of the control groups (containers) that it belongs to. Linux
// only; elsewhere nothing is known.

package struct MachineMemory: Sendable {
  private let fileSystem: any FileSystem
  /// Stands before every path, for tests.
  private let root: String

  package init(_ fileSystem: any FileSystem = PosixFileSystem(), root: String = "") {
    self.fileSystem = fileSystem
    self.root = root
  }

  /// Bytes in memory of this process now; nil where the system does not say.
  package var residentBytes: Int? {
    text("/proc/self/status").flatMap { Self.value("VmRSS:", in: $0) }.map { $0 * 1024 }
  }

  /// Bytes that may be taken on top of what this process has; nil where the system does not say.
  package var availableBytes: Int? {
    let machine = text("/proc/meminfo").flatMap { Self.value("MemAvailable:", in: $0) }
    let groups = groupFolders.compactMap(room)
    return ((machine.map { [$0 * 1024] } ?? []) + groups).min()
  }

  /// Bytes of the machine, or of the smallest of this process's groups if that has less; nil where
  /// the system does not say.
  package var totalBytes: Int? {
    let machine = text("/proc/meminfo").flatMap { Self.value("MemTotal:", in: $0) }
    let limits = groupFolders.flatMap { folder in
      Self.groupFiles.compactMap { number("\(folder)/\($0.limit)") }
    }
    return ((machine.map { [$0 * 1024] } ?? []) + limits).min()
  }

  /// What a group's limit, its usage and pages that only cache files are called in both versions.
  private static let groupFiles = [
    (limit: "memory.max", usage: "memory.current", cache: "inactive_file"),
    (
      limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cache: "total_inactive_file"
    ),
  ]

  /// The folders of this process's groups and of all groups above them, of both versions.
  private var groupFolders: [String] {
    let lines = (text("/proc/self/cgroup") ?? "").split(separator: "\n")
    return lines.flatMap { line -> [String] in
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { return [] }
      let isUnified = parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains("memory") else { return [] }
      let base = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
      let names = parts[2].split(separator: "/")
      return (0...names.count).map { count in
        ([base] + names.prefix(count).map(String.init)).joined(separator: "/")
      }
    }
  }

  /// What a group's limit leaves; pages that only cache files can be had at once.
  private func room(_ folder: String) -> Int? {
    for names in Self.groupFiles {
      guard let limit = number("\(folder)/\(names.limit)"),
        let usage = number("\(folder)/\(names.usage)")
      else { continue }
      let cached = text("\(folder)/memory.stat").flatMap { Self.value(names.cache, in: $0) } ?? 0
      return max(0, limit - max(0, usage - cached))
    }
    return nil
  }

  /// nil for `max` and for what is no number.
  private func number(_ path: String) -> Int? {
    text(path).flatMap { Int($0.filter { $0 != "\n" }) }
  }

  private func text(_ path: String) -> String? {
    guard let bytes = try? fileSystem.readAll(root + path) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The number behind `name` at the beginning of a line.
  private static func value(_ name: String, in text: String) -> Int? {
    for line in text.split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      if words.count > 1, words[0] == name { return Int(words[1]) }
    }
    return nil
  }
}
