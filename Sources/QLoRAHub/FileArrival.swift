// One file on its way into the cache: resumed after each interruption, checked, and only then given
// its name.
import QLoRADiagnostics
import QLoRASystem

struct FileArrival {
  let file: HubFile
  /// At a commit, so that what is asked for cannot change.
  let reference: HubReference
  let cache: HubCache
  let client: HubClient
  let events: (HubEvent) -> Void

  init(
    file: HubFile, reference: HubReference, cache: HubCache, client: HubClient,
    _ events: @escaping (HubEvent) -> Void
  ) {
    self.file = file
    self.reference = reference
    self.cache = cache
    self.client = client
    self.events = events
  }

  /// - Returns: how many bytes came over the network.
  func run() throws(Diagnostic) -> Int {
    guard let digest = file.digest, let expected = file.byteCount else { return 0 }
    let lock = try lock(digest)
    defer { withExtendedLifetime(lock) {} }
    var fetched = 0
    // Another process, or another commit, may have brought it.
    if !cache.holds(digest, byteCount: expected, reference) {
      let target = cache.blob(reference, digest)
      let partial = try diagnosing { () throws(FileFailure) in
        try cache.fileSystem.makeDirectories(FilePath.parent(of: target))
        return try PartialFile(
          target + PartialFile.suffix, digest, byteCount: expected, cache.fileSystem)
      }
      fetched = try fetch(partial)
      try diagnosing { () throws(FileFailure) in try partial.commit(as: target) }
    }
    try diagnosing { () throws(FileFailure) in
      try cache.link(file.name, to: digest, reference, reference.revision)
    }
    events(.fetched(file: file.name, bytes: expected))
    return fetched
  }

  /// The lock that the hub's library takes for the same file.
  private func lock(_ digest: BlobDigest) throws(Diagnostic) -> FileLock {
    let folder = FilePath.join(FilePath.join(cache.root, ".locks"), reference.folderName)
    try diagnosing { () throws(FileFailure) in try cache.fileSystem.makeDirectories(folder) }
    let path = FilePath.join(folder, digest.hex + ".lock")
    var isFirst = true
    while true {
      if let lock = try FileLock.take(path) { return lock }
      if isFirst { events(.waiting(file: file.name)) }
      isFirst = false
      try client.wait(.milliseconds(100))
    }
  }

  // MARK: Bytes

  /// What the callback of a request shares with the loop around it.
  private final class Course {
    let partial: PartialFile
    /// What the answer that the bytes came with called its content, if that identifies it.
    var validator: String?
    var fetchedBytes = 0
    var diskFailure: FileFailure?
    /// Why the answer was not used.
    var rejection: String?
    var isBegun = false

    init(_ partial: PartialFile) { self.partial = partial }
  }

  /// Wrong contents from the first byte on, of which the last is borne no more.
  private static let mostDamages = 2

  private func fetch(_ partial: PartialFile) throws(Diagnostic) -> Int {
    let address = client.settings.address(of: file.name, reference)
    let course = Course(partial)
    var retries = RetryCourse(client.retries)
    var best = partial.byteCount
    var damages = 0
    // Bytes of an earlier start may be of another origin, so they are forgiven once.
    var isFresh = partial.byteCount == 0
    while true {
      if partial.isWhole {
        if partial.isRight { return course.fetchedBytes }
        course.rejection = "its digest is another"
      } else {
        let answer = try attempt(address, course)
        if course.rejection == nil, !partial.isWhole {
          let isFruitful = partial.byteCount - best >= client.retries.fruitfulBytes
          best = max(best, partial.byteCount)
          guard let pause = retries.pause(after: answer, isFruitful: isFruitful) else {
            throw client.unreachable(answer, address)
          }
          events(.retrying(file: file.name, reason: answer.text))
          try client.wait(pause)
        }
      }
      guard let rejection = course.rejection else { continue }
      damages += isFresh ? 1 : 0
      guard damages < Self.mostDamages else { throw damaged(rejection, address) }
      events(.retrying(file: file.name, reason: rejection))
      try diagnosing { () throws(FileFailure) in try partial.restart() }
      course.rejection = nil
      course.validator = nil
      best = 0
      isFresh = true
    }
  }

  private func damaged(_ reason: String, _ address: HubAddress) -> Diagnostic {
    Diagnostic(
      .hubDamaged, "\"\(file.name)\" did not arrive as announced: \(reason)",
      at: .file(address.text), remedy: "run the command again later, or report it to its owner")
  }

  /// One request for what is missing.
  private func attempt(_ address: HubAddress, _ course: Course) throws(Diagnostic) -> HubAnswer {
    let partial = course.partial
    var headers: [String] = []
    if partial.byteCount > 0 {
      headers.append("Range: bytes=\(partial.byteCount)-")
      if let validator = course.validator { headers.append("If-Range: \(validator)") }
    }
    course.isBegun = false
    let answer = try client.ask(address, headers: headers) { head, bytes in
      take(bytes, head, course)
    }
    // Of an answer without a body nothing was compared yet.
    if !course.isBegun, answer.failure == nil, [200, 206].contains(answer.head.status) {
      _ = try diagnosing { () throws(FileFailure) in try begin(answer.head, course) }
    }
    if let failure = course.diskFailure { throw failure.diagnostic }
    if let linked = answer.first.fields["x-linked-etag"].flatMap(BlobDigest.init),
      linked != file.digest
    {
      throw Diagnostic(
        .hubRefused, "\"\(file.name)\" is another file now than the hub listed",
        at: .file(address.text), remedy: "run the command again")
    }
    // The server has less than what is here.
    if answer.head.status == 416 { course.rejection = "the server cannot go on from here" }
    if course.rejection == nil, !answer.mayPass,
      answer.failure != nil || ![200, 206].contains(answer.head.status)
    {
      throw client.refusal(answer, address, reference)
    }
    return answer
  }

  private func take(
    _ bytes: UnsafeRawBufferPointer, _ head: TransferHead, _ course: Course
  ) -> Bool {
    do throws(FileFailure) {
      if !course.isBegun {
        course.isBegun = true
        guard try begin(head, course) else { return false }
      }
      course.fetchedBytes += bytes.count
      guard try course.partial.append(bytes) else {
        course.rejection = "there is more of it than the hub announced"
        return false
      }
    } catch {
      course.diskFailure = error
      return false
    }
    events(
      .arrived(file: file.name, bytes: course.partial.byteCount, of: course.partial.expectedBytes))
    return true
  }

  /// Compares what the answer says of itself with what was asked for.
  private func begin(_ head: TransferHead, _ course: Course) throws(FileFailure) -> Bool {
    let partial = course.partial
    let length = head.fields["content-length"].flatMap { Int($0) }
    if head.status == 206 {
      let range = head.fields["content-range"]?.split(whereSeparator: { " -/".contains($0) })
      let isRight =
        range?.count == 4 && range?[0] == "bytes" && range?[1] == "\(partial.byteCount)"
        && (range?[3] == "\(partial.expectedBytes)" || range?[3] == "*")
      guard isRight else {
        course.rejection = "the server sent another part than was asked for"
        return false
      }
    } else {
      // The whole file, because another version is there now or parts are not sent.
      if partial.byteCount > 0 { try partial.restart() }
      if let length, length != partial.expectedBytes {
        course.rejection = "the server sends \(length) bytes, announced \(partial.expectedBytes)"
        return false
      }
    }
    let etag = head.fields["etag"] ?? ""
    course.validator = etag.hasPrefix("\"") ? etag : nil
    return true
  }
}
