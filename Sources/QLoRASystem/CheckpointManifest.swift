// MANIFEST.json: the list that makes a directory a committed one. It is written last, so a
// directory whose manifest verifies is complete.
import QLoRADiagnostics
import QLoRAJSON

/// One file of a committed directory.
package struct ManifestEntry: Sendable, Equatable {
  package let name: String
  package let byteCount: Int
  package let digest: Digest

  package init(name: String, byteCount: Int, digest: Digest) {
    self.name = name
    self.byteCount = byteCount
    self.digest = digest
  }

  var json: JSONValue {
    .dictionary([
      ("name", .string(name)), ("size", .int(byteCount)), ("xxh3-128", .string("\(digest)")),
    ])
  }
}

/// The files of a committed directory with sizes and digests, and facts about them.
///
/// The last member is the digest of the same text without it, so every bit of the file counts.
package struct CheckpointManifest: Sendable, Equatable {
  package static let fileName = "MANIFEST.json"
  package static let formatVersion = 1
  /// A manifest is a page of text; a larger one is not ours.
  private static let maximumByteCount = 1 << 20

  package let entries: [ManifestEntry]
  /// Whatever the writer wants to be known: step, tool version, digests of inputs.
  package let facts: [JSONMember]

  package init(entries: [ManifestEntry], facts: [JSONMember]) {
    self.entries = entries
    self.facts = facts
  }

  // MARK: Text

  /// The whole file, self-digest included.
  package var text: String {
    let members = [
      JSONMember("formatVersion", .int(Self.formatVersion)), JSONMember("facts", .object(facts)),
      JSONMember("files", .list(entries.map(\.json))),
    ]
    let digest = Digest(of: Self.spell(members).utf8)
    return Self.spell(members + [JSONMember("digest", .string("\(digest)"))])
  }

  private static func spell(_ members: [JSONMember]) -> String {
    JSONWriter.text(.object(members), style: .indented) + "\n"
  }

  /// Reads a manifest's text.
  /// - Throws: a diagnostic where a single byte of it differs from what was written.
  package init(parsing bytes: [UInt8], file: String) throws(Diagnostic) {
    func damage(_ what: String) -> Diagnostic { Self.damaged(file, "the manifest \(what)") }
    guard let value = try? JSONValue(parsing: bytes) else { throw damage("is not JSON") }
    guard value["formatVersion"]?.intValue == Self.formatVersion else {
      throw damage("is not of format version \(Self.formatVersion)")
    }
    let names = value["files"]?.arrayValue ?? []
    var entries: [ManifestEntry] = []
    for item in names {
      guard let name = item["name"]?.stringValue, Self.isPlainName(name),
        let size = item["size"]?.intValue, size >= 0,
        let digest = item["xxh3-128"]?.stringValue.flatMap(Self.digest)
      else { throw damage("has a malformed entry") }
      entries.append(ManifestEntry(name: name, byteCount: size, digest: digest))
    }
    self.init(entries: entries, facts: value["facts"]?.objectMembers ?? [])
    guard Array(text.utf8) == bytes else { throw damage("does not match its own digest") }
  }

  private static func digest(_ text: String) -> Digest? {
    guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
      let low = UInt64(text.suffix(16), radix: 16)
    else { return nil }
    return Digest(high: high, low: low)
  }

  /// One path component of harmless characters: a manifest cannot point outside its directory.
  package static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 255 && !name.hasPrefix(".")
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  // MARK: Verifying

  /// Reads the manifest of `directory` without reading the files.
  package static func load(
    _ directory: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) -> CheckpointManifest {
    let path = FilePath.join(directory, fileName)
    guard let status = try diagnosing({ () throws(FileFailure) in try fileSystem.status(path) })
    else { throw damaged(path, "the manifest is missing") }
    guard status.kind == .file, status.byteCount <= maximumByteCount else {
      throw damaged(path, "the manifest is not a small regular file")
    }
    let bytes = try diagnosing { () throws(FileFailure) in try fileSystem.readAll(path) }
    return try CheckpointManifest(parsing: bytes, file: path)
  }

  /// Checks every file of `directory` against its manifest, byte for byte.
  /// - Throws: a diagnostic that names the first damaged file.
  @discardableResult
  package static func verify(
    _ directory: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) -> CheckpointManifest {
    let manifest = try load(directory, fileSystem)
    for entry in manifest.entries {
      let digest = StreamingDigest()
      try manifest.stream(entry, of: directory, fileSystem) { digest.update($0) }
      try manifest.check(entry, digest.digest, in: directory)
    }
    return manifest
  }

  /// The checked bytes of one file.
  /// - Throws: a diagnostic where they are not the bytes that were committed.
  package func read(
    _ name: String, of directory: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) -> [UInt8] {
    guard let entry = entries.first(where: { $0.name == name }) else {
      throw Self.damaged(directory, "\(name) is not in the manifest")
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(entry.byteCount)
    try stream(entry, of: directory, fileSystem) { bytes.append(contentsOf: $0) }
    try check(entry, Digest(of: bytes), in: directory)
    return bytes
  }

  private func stream(
    _ entry: ManifestEntry, of directory: String, _ fileSystem: any FileSystem,
    _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(Diagnostic) {
    let path = FilePath.join(directory, entry.name)
    let status = try diagnosing { () throws(FileFailure) in try fileSystem.status(path) }
    guard let status else { throw Self.damaged(path, "the file is missing") }
    guard status.kind == .file else { throw Self.damaged(path, "it is not a regular file") }
    guard status.byteCount == entry.byteCount else {
      throw Self.damaged(
        path, "expected \(entry.byteCount) bytes, found \(status.byteCount)")
    }
    try diagnosing { () throws(FileFailure) in try fileSystem.read(path, body) }
  }

  private func check(
    _ entry: ManifestEntry, _ found: Digest, in directory: String
  ) throws(Diagnostic) {
    guard found == entry.digest else {
      throw Self.damaged(
        FilePath.join(directory, entry.name),
        "its digest is \(found), but the manifest says \(entry.digest)")
    }
  }

  private static func damaged(_ path: String, _ what: String) -> Diagnostic {
    Diagnostic(
      .checkpointDamaged, what, at: .file(path),
      remedy: "use another checkpoint; `qlora resume` finds the newest intact one")
  }
}
