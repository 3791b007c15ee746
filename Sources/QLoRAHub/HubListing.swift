// The files of a repository at one commit, as the server lists them and as the cache keeps that.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

/// A file as the hub announces it.
package struct HubFile: Sendable, Equatable {
  package let name: String
  /// nil where the listing does not say: the file's own head does.
  package var byteCount: Int?
  /// What git calls it: the digest of its content, or of the pointer that stands for it.
  var gitDigest: BlobDigest?
  /// The SHA-256 of its content, where git holds a pointer.
  var largeDigest: BlobDigest?

  /// By what its content is known.
  package var digest: BlobDigest? { largeDigest ?? gitDigest }
}

package struct HubListing: Sendable, Equatable {
  package let commit: String
  package let files: [HubFile]

  /// More than any repository has, and few enough to hold.
  private static let mostFiles = 200_000

  /// From an answer of `/api/models/ID/revision/REVISION?blobs=true`.
  ///
  /// - Throws: `hubRefused` for another thing, `hubNameRefused` for names that can't be kept.
  package init(answer json: JSONValue, place: String) throws(Diagnostic) {
    guard let commit = json["sha"]?.stringValue, let siblings = json["siblings"]?.arrayValue else {
      throw Diagnostic(
        .hubRefused, "expected \"sha\" and \"siblings\", found another answer", at: .file(place),
        remedy: "check HF_ENDPOINT")
    }
    guard BlobDigest.isCommit(commit) else {
      throw Self.refused("a commit named \"\(HubName.shown(commit))\"", place)
    }
    var files: [HubFile] = []
    var seen: Set<String> = []
    for sibling in siblings.prefix(Self.mostFiles) {
      let file = try Self.file(sibling, place)
      guard seen.insert(file.name).inserted else {
        throw Self.refused("\"\(HubName.shown(file.name))\" twice", place)
      }
      files.append(file)
    }
    self.commit = commit
    self.files = files
  }

  private static func file(_ json: JSONValue, _ place: String) throws(Diagnostic) -> HubFile {
    guard let name = json["rfilename"]?.stringValue, HubName.isPath(name) else {
      let name = json["rfilename"]?.stringValue ?? ""
      throw refused("a file named \"\(HubName.shown(name))\"", place)
    }
    let large = json["lfs"].flatMap { $0.isNull ? nil : $0 }
    let size = (large?["size"] ?? json["size"])?.intValue
    var file = HubFile(name: name, byteCount: size)
    guard size.map({ $0 >= 0 }) ?? true else {
      throw refused("a file of \(size ?? 0) bytes", place)
    }
    file.gitDigest = try digest(json["blobId"], 40, place)
    file.largeDigest = try digest(large?["sha256"], 64, place)
    return file
  }

  private static func digest(
    _ json: JSONValue?, _ length: Int, _ place: String
  ) throws(Diagnostic) -> BlobDigest? {
    guard let text = json?.stringValue else { return nil }
    guard let digest = BlobDigest(text), digest.hex.utf8.count == length else {
      throw refused("a digest \"\(HubName.shown(text))\"", place)
    }
    return digest
  }

  private static func refused(_ what: String, _ place: String) -> Diagnostic {
    Diagnostic(
      .hubNameRefused, "the server lists \(what), which is not kept", at: .file(place),
      remedy: "tell the owner of the repository, or of the server")
  }
}

// MARK: On record
extension HubListing {
  private static let version = 1
  private static let largestRecord = 1 << 26

  /// From `trees/COMMIT.json` of the cache, which the hub's library writes too.
  ///
  /// - Returns: nil where there is none that can be used: it only saves a request.
  package init?(record path: String, commit: String) {
    guard let file = try? InputFile.openIfPresent(path),
      let json = try? JSONValue.read(file, limit: Self.largestRecord, code: .hubRefused),
      json["format_version"]?.intValue == Self.version,
      let members = json["files"]?.objectMembers
    else { return nil }
    var files: [HubFile] = []
    for member in members {
      guard HubName.isPath(member.key), let git = member.value["blob_id"]?.stringValue,
        let digest = BlobDigest(git), let size = member.value["size"]?.intValue, size >= 0
      else { return nil }
      var file = HubFile(name: member.key, byteCount: size, gitDigest: digest)
      if let large = member.value["lfs_sha256"]?.stringValue {
        guard let digest = BlobDigest(large) else { return nil }
        file.largeDigest = digest
        file.byteCount = member.value["lfs_size"]?.intValue ?? size
      }
      files.append(file)
    }
    self.commit = commit
    self.files = files
  }

  /// The text of the record; nil where the server did not say all that belongs into it.
  package var record: String? {
    var members: [(String, JSONValue)] = []
    for file in files.sorted(by: { $0.name < $1.name }) {
      guard let size = file.byteCount, let git = file.gitDigest else { return nil }
      var facts: [(String, JSONValue)] = [("size", .int(size)), ("blob_id", .string(git.hex))]
      if let large = file.largeDigest {
        facts += [("lfs_sha256", .string(large.hex)), ("lfs_size", .int(size))]
      }
      members.append((file.name, .dictionary(facts)))
    }
    return JSONWriter.text(
      .dictionary([("format_version", .int(Self.version)), ("files", .dictionary(members))]),
      style: .indented)
  }
}
