// Damage of any kind is found.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import TestSupport
import Testing

@Suite struct CheckpointManifestTests {
  private func committed(_ folder: TemporaryFolder) throws -> String {
    let directory = try AtomicDirectory("d", in: folder.path("out"), expectedByteCount: 0)
    try directory.write("weights.bin", (0..<257).map { UInt8(truncatingIfNeeded: $0) })
    try directory.write("empty.bin", [])
    _ = try directory.commit(facts: [JSONMember("note", .string("ü"))])
    return folder.path("out/d")
  }

  /// Whether `verify` names `name` as damaged.
  private func isDamaged(_ directory: String, _ name: String) -> Bool {
    do throws(Diagnostic) {
      try CheckpointManifest.verify(directory)
      return false
    } catch {
      return error.code == .checkpointDamaged && error.description.contains(name)
    }
  }

  @Test(arguments: ["MANIFEST.json", "weights.bin"])
  func everyBitCounts(name: String) throws {
    let folder = try TemporaryFolder()
    let directory = try committed(folder)
    let url = URL(filePath: directory + "/" + name)
    let good = try Data(contentsOf: url)
    for index in good.indices {
      for bit in 0..<8 {
        var bad = good
        bad[index] ^= 1 << bit
        try bad.write(to: url)
        #expect(isDamaged(directory, name), "bit \(bit) of byte \(index)")
      }
    }
    try good.write(to: url)
    try CheckpointManifest.verify(directory)
  }

  @Test(arguments: ["MANIFEST.json", "weights.bin"])
  func everyTruncationCounts(name: String) throws {
    let folder = try TemporaryFolder()
    let directory = try committed(folder)
    let url = URL(filePath: directory + "/" + name)
    let good = try Data(contentsOf: url)
    for length in 0..<good.count {
      try good.prefix(length).write(to: url)
      #expect(isDamaged(directory, name), "length \(length)")
    }
    try (good + [0]).write(to: url)
    #expect(isDamaged(directory, name))
  }

  @Test(arguments: ["MANIFEST.json", "weights.bin", "empty.bin"])
  func missingFilesAndLinksCount(name: String) throws {
    let folder = try TemporaryFolder()
    let directory = try committed(folder)
    let path = directory + "/" + name
    try FileManager.default.moveItem(atPath: path, toPath: folder.path("elsewhere"))
    #expect(isDamaged(directory, name))
    try FileManager.default.createSymbolicLink(
      atPath: path, withDestinationPath: folder.path("elsewhere"))
    #expect(isDamaged(directory, name))
  }

  @Test(arguments: ["../x", "a/b", "", ".", "..", ".hidden", "a\\b", "a\u{0}b", "/etc/passwd", "ä"])
  func namesCannotLeaveTheDirectory(name: String) {
    #expect(!CheckpointManifest.isPlainName(name))
    let entry = ManifestEntry(name: name, byteCount: 0, digest: Digest(of: []))
    let text = CheckpointManifest(entries: [entry], facts: []).text
    #expect(throws: Diagnostic.self) {
      try CheckpointManifest(parsing: Array(text.utf8), file: "m")
    }
  }

  @Test func readsOnlyCheckedBytes() throws {
    let folder = try TemporaryFolder()
    let directory = try committed(folder)
    let manifest = try CheckpointManifest.load(directory)
    #expect(try manifest.read("weights.bin", of: directory).count == 257)
    #expect(throws: Diagnostic.self) { try manifest.read("other.bin", of: directory) }
    try Data(repeating: 0, count: 257).write(to: URL(filePath: directory + "/weights.bin"))
    #expect(throws: Diagnostic.self) { try manifest.read("weights.bin", of: directory) }
  }
}
