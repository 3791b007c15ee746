// `qlora download`: from a name to a complete snapshot in the cache.
import QLoRADiagnostics
import QLoRASystem

/// What a download tells while it goes on.
package enum HubEvent: Sendable {
  /// So many files and bytes are to be fetched.
  case started(files: Int, bytes: Int)
  case arrived(file: String, bytes: Int, of: Int)
  case fetched(file: String, bytes: Int)
  /// Another process fetches this file.
  case waiting(file: String)
  case retrying(file: String, reason: String)
  case warning(String)
}

package struct HubReport: Sendable {
  package struct File: Sendable {
    package let name: String
    package let byteCount: Int
    package let digest: String?
    /// What came over the network for it now.
    package let fetchedBytes: Int
  }

  package let reference: HubReference
  package let commit: String
  /// The snapshot's folder.
  package let path: String
  package let files: [File]
  /// Whether a server was asked.
  package let askedServer: Bool
}

package struct HubDownload {
  let reference: HubReference
  let cache: HubCache
  let client: () throws(Diagnostic) -> HubClient
  let settings: HubSettings
  let choice: FileChoice
  /// Whether the server is asked what is new, though all is there.
  let refreshes: Bool
  let events: (HubEvent) -> Void

  /// - Parameter client: is called once a server has to be asked.
  package init(
    _ reference: HubReference, into cache: HubCache, _ settings: HubSettings,
    choice: FileChoice = FileChoice(), refreshes: Bool = false,
    client: @escaping () throws(Diagnostic) -> HubClient, events: @escaping (HubEvent) -> Void
  ) {
    self.reference = reference
    self.cache = cache
    self.settings = settings
    self.choice = choice
    self.refreshes = refreshes
    self.client = client
    self.events = events
  }

  /// - Throws: what the server refused (66, 77), what the network failed at (69), what the disk
  ///   cannot take (74), and that it was stopped (75).
  package func run() throws(Diagnostic) -> HubReport {
    if let report = try cached() { return report }
    if settings.isOffline {
      throw Diagnostic(
        .hubNotCached, "\(reference.name) is not whole in \(cache.root), and HF_HUB_OFFLINE is set",
        remedy: "unset HF_HUB_OFFLINE to fetch it")
    }
    let client = try client()
    let listing = try listing(client)
    let pinned = reference.at(listing.commit) ?? reference
    var files: [HubFile] = []
    for file in try choice.files(of: listing, reference.kind) {
      files.append(try complete(file, pinned, client))
    }
    let missing = files.filter { !cache.holds($0, reference, listing.commit) }
    events(.started(files: missing.count, bytes: try checkSpace(missing)))
    var fetched: [String: Int] = [:]
    for file in missing {
      let arrival = FileArrival(file: file, reference: pinned, cache: cache, client: client, events)
      fetched[file.name] = try arrival.run()
    }
    try cache.record(listing, reference)
    try cache.record(reference, is: listing.commit)
    return report(listing.commit, files, fetched, askedServer: true)
  }

  // MARK: What is there

  /// The report of a download that has nothing to do; nil where there is something.
  private func cached() throws(Diagnostic) -> HubReport? {
    guard !refreshes || settings.isOffline, let commit = cache.commit(reference) else { return nil }
    guard let listing = cache.listing(reference, commit) else {
      // Whether it is whole is not known; without a network that is all there is.
      guard settings.isOffline, let path = try? cache.locate(reference), !path.isEmpty else {
        return nil
      }
      events(.warning("nothing on record says whether \(reference.name) is whole"))
      return report(commit, [], [:], askedServer: false)
    }
    let files = try choice.files(of: listing, reference.kind)
    guard files.allSatisfy({ cache.holds($0, reference, commit) }) else { return nil }
    return report(commit, files, [:], askedServer: false)
  }

  private func report(
    _ commit: String, _ files: [HubFile], _ fetched: [String: Int], askedServer: Bool
  ) -> HubReport {
    HubReport(
      reference: reference, commit: commit, path: cache.snapshot(reference, commit),
      files: files.map { file in
        HubReport.File(
          name: file.name, byteCount: file.byteCount ?? 0, digest: file.digest?.hex,
          fetchedBytes: fetched[file.name] ?? 0)
      }, askedServer: askedServer)
  }

  // MARK: What the server says

  private func listing(_ client: HubClient) throws(Diagnostic) -> HubListing {
    if BlobDigest.isCommit(reference.revision),
      let known = cache.listing(reference, reference.revision)
    {
      return known
    }
    let id = reference.id.split(separator: "/").map(String.init)
    let address = settings.endpoint.appending(
      ["api", reference.kind.plural] + id + ["revision", reference.revision], query: "blobs=true")
    let listing = try HubListing(
      answer: try client.json(address, reference), place: address.text)
    if BlobDigest.isCommit(reference.revision), listing.commit != reference.revision {
      throw Diagnostic(
        .hubRefused, "asked for commit \(reference.revision), got \(listing.commit)",
        at: .file(address.text), remedy: "check HF_ENDPOINT")
    }
    return listing
  }

  /// With size and digest, from the file's own head where the listing has none.
  private func complete(
    _ file: HubFile, _ pinned: HubReference, _ client: HubClient
  ) throws(Diagnostic) -> HubFile {
    if file.byteCount != nil, file.digest != nil { return file }
    let address = settings.address(of: file.name, pinned)
    let answer = try client.settle(address, isHead: true)
    try client.check(answer, address, pinned, isHead: true)
    let head = answer.head
    let etag = head.fields["x-linked-etag"] ?? head.fields["etag"]
    let isRedirect = (300..<400).contains(head.status)
    let size = head.fields["x-linked-size"] ?? (isRedirect ? nil : head.fields["content-length"])
    guard let digest = etag.flatMap(BlobDigest.init), let bytes = size.flatMap({ Int($0) }),
      bytes >= 0
    else {
      throw Diagnostic(
        .hubRefused, "the server states no size and digest of \"\(file.name)\"",
        at: .file(address.text), remedy: "check HF_ENDPOINT; nothing is kept unverified")
    }
    var complete = file
    complete.byteCount = bytes
    if digest.hex.utf8.count == 64 {
      complete.largeDigest = digest
    } else {
      complete.gitDigest = digest
    }
    return complete
  }

  // MARK: Room

  /// - Returns: the bytes that are to come.
  /// - Throws: `hubNoSpace`.
  private func checkSpace(_ missing: [HubFile]) throws(Diagnostic) -> Int {
    var needed = 0
    for file in missing {
      guard let digest = file.digest, let bytes = file.byteCount,
        !cache.holds(digest, byteCount: bytes, reference)
      else { continue }
      let partial = cache.blob(reference, digest) + PartialFile.suffix
      let there = try diagnosing { () throws(FileFailure) in try cache.fileSystem.status(partial) }
      let (sum, overflow) = needed.addingReportingOverflow(max(0, bytes - (there?.byteCount ?? 0)))
      needed = overflow ? .max : sum
    }
    var place = cache.root
    while place != FilePath.parent(of: place),
      ((try? cache.fileSystem.status(FilePath.join(place, "."))) ?? nil) == nil
    {
      place = FilePath.parent(of: place)
    }
    let free = try? cache.fileSystem.freeByteCount(place)
    if let free, needed > free {
      throw Diagnostic(
        .hubNoSpace, "\(needed) bytes are to come, and \(free) are free", at: .file(place),
        remedy: "make room, or set HF_HUB_CACHE to a folder on another disk")
    }
    return needed
  }
}

extension HubSettings {
  /// Where a file of a repository is.
  func address(of name: String, _ reference: HubReference) -> HubAddress {
    let id = reference.id.split(separator: "/").map(String.init)
    return endpoint.appending(
      (reference.kind == .dataset ? ["datasets"] : []) + id + ["resolve", reference.revision]
        + name.split(separator: "/").map(String.init))
  }
}
