// A hub with one repository, and a store of large files on another server, as the real one has.
import Foundation
import QLoRADiagnostics
import QLoRAHub
import QLoRAJSON
import QLoRASystem
import TestSupport

struct FakeHub: Sendable {
  static let id = "org/tiny"
  static let commit = String(repeating: "c0ffee12", count: 5)

  /// A change of what would be answered; nil leaves it.
  typealias Mischief = @Sendable (ServedRequest, ServedAnswer) -> ServedAnswer?

  let hub: HostileServer
  let store: HostileServer
  let folder: TemporaryFolder
  let files: [String: [UInt8]]

  /// - Parameters:
  ///   - large: files that the store has.
  ///   - listing: instead of the true one.
  init(
    small: [String: [UInt8]] = ["config.json": Array("{}".utf8)],
    large: [String: [UInt8]] = [:], listing: JSONValue? = nil,
    onHub: @escaping Mischief = { _, _ in nil }, onStore: @escaping Mischief = { _, _ in nil }
  ) throws {
    folder = try TemporaryFolder()
    files = small.merging(large) { $1 }
    let digests = large.mapValues { Self.hex($0, length: 64) }
    let store = try HostileServer { request in
      let name = request.target.dropFirst().removingPercentEncoding ?? ""
      let answer =
        large[name].map {
          ServedAnswer.file($0, request, ["ETag": "\"store-\(name.count)\""])
        } ?? ServedAnswer(status: 404)
      return onStore(request, answer) ?? answer
    }
    self.store = store
    let text = JSONWriter.text(listing ?? Self.listing(small, large))
    let storeAddress = store.address
    hub = try HostileServer { request in
      let answer = Self.answer(request, text, small, digests, large, storeAddress)
      return onHub(request, answer) ?? answer
    }
  }

  static func hex(_ bytes: [UInt8], length: Int) -> String {
    guard let kind = BlobDigest(String(repeating: "0", count: length)) else { return "" }
    var hasher = BlobHasher(like: kind, byteCount: bytes.count)
    bytes.withUnsafeBytes { hasher.update($0) }
    return hasher.hex
  }

  static func listing(_ small: [String: [UInt8]], _ large: [String: [UInt8]]) -> JSONValue {
    let lines = small.merging(large) { $1 }.map { name, bytes -> JSONValue in
      var line: [(String, JSONValue)] = [
        ("rfilename", .string(name)), ("size", .int(bytes.count)),
        ("blobId", .string(hex(bytes, length: 40))),
      ]
      if large[name] != nil {
        line.append(
          (
            "lfs",
            .dictionary([
              ("sha256", .string(hex(bytes, length: 64))), ("size", .int(bytes.count)),
            ])
          ))
      }
      return .dictionary(line)
    }
    return .dictionary([("sha", .string(commit)), ("siblings", .list(lines))])
  }

  private static func answer(
    _ request: ServedRequest, _ listing: String, _ small: [String: [UInt8]],
    _ digests: [String: String], _ large: [String: [UInt8]], _ store: String
  ) -> ServedAnswer {
    if request.target.hasPrefix("/api/models/\(id)/revision/") {
      return ServedAnswer(
        fields: ["Content-Type": "application/json"], body: Array(listing.utf8))
    }
    let start = "/\(id)/resolve/\(commit)/"
    let path = request.target.removingPercentEncoding ?? ""
    guard path.hasPrefix(start) else {
      return ServedAnswer(status: 404, fields: ["X-Error-Code": "RepoNotFound"])
    }
    let name = String(path.dropFirst(start.count))
    if let digest = digests[name] {
      return ServedAnswer(
        status: 302,
        fields: [
          "Location": "\(store)/\(HubAddress.encode(name))", "X-Repo-Commit": commit,
          "X-Linked-ETag": "\"\(digest)\"", "X-Linked-Size": "\(large[name]?.count ?? 0)",
        ])
    }
    guard let bytes = small[name] else {
      return ServedAnswer(status: 404, fields: ["X-Error-Code": "EntryNotFound"])
    }
    return .file(bytes, request, ["ETag": "\"\(hex(bytes, length: 40))\""])
  }

  // MARK: Downloading from it

  var cache: HubCache { HubCache(root: folder.path("hub")) }

  func settings(_ more: [String: String] = [:]) throws -> HubSettings {
    try HubSettings(
      environment: ["HF_ENDPOINT": hub.address, "HF_TOKEN": "secret"].merging(more) { $1 })
  }

  /// Patience for a test: pauses of milliseconds, one second of silence.
  static var quick: (limits: TransferLimits, retries: RetryPolicy) {
    var (limits, retries) = (TransferLimits(), RetryPolicy())
    limits.slowSeconds = 1
    retries.firstPause = .milliseconds(1)
    retries.longestPause = .milliseconds(4)
    return (limits, retries)
  }

  func download(
    _ name: String = id, choice: FileChoice = FileChoice(), refreshes: Bool = false,
    environment: [String: String] = [:], policy: (TransferLimits, RetryPolicy) = quick,
    into cache: HubCache? = nil, events: @escaping (HubEvent) -> Void = { _ in }
  ) throws -> HubReport {
    let settings = try settings(environment)
    return try HubDownload(
      HubReference(argument: name, kind: .model), into: cache ?? self.cache, settings,
      choice: choice, refreshes: refreshes,
      client: { () throws(Diagnostic) in
        try HubClient(settings, agent: "test", limits: policy.0, retries: policy.1)
      }, events: events
    ).run()
  }

  /// The code of the failure; nil where there is none.
  func failure(
    _ name: String = id, choice: FileChoice = FileChoice(), environment: [String: String] = [:],
    into cache: HubCache? = nil
  ) -> DiagnosticCode? {
    do {
      _ = try download(name, choice: choice, environment: environment, into: cache)
      return nil
    } catch {
      return (error as? Diagnostic)?.code
    }
  }

  func content(_ name: String) -> [UInt8]? {
    let path = FilePath.join(folder.path("hub/models--org--tiny/snapshots/\(Self.commit)"), name)
    return FileManager.default.contents(atPath: path).map(Array.init)
  }

  /// Names of what lies among the blobs.
  var blobs: [String] {
    let path = folder.path("hub/models--org--tiny/blobs")
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      withUnsafeBytes(of: generator.next()) { bytes += $0.prefix(count - bytes.count) }
    }
    return bytes
  }
}

extension FakeHub {
  /// A listing that says names alone, as mirrors do.
  static func bare(_ names: [String]) -> JSONValue {
    .dictionary([
      ("sha", .string(commit)),
      ("siblings", .list(names.map { .dictionary([("rfilename", .string($0))]) })),
    ])
  }

  /// A listing of more than any disk holds.
  static var huge: JSONValue {
    let line = JSONValue.dictionary([
      ("rfilename", "model.safetensors"), ("size", .int(1 << 60)),
      ("blobId", .string(hex([1], length: 40))),
      ("lfs", .dictionary([("sha256", .string(hex([1], length: 64))), ("size", .int(1 << 60))])),
    ])
    return .dictionary([("sha", .string(commit)), ("siblings", .list([line]))])
  }
}
