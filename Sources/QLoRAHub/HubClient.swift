// Questions to the hub's server: redirects are followed here, one by one, so that the token goes to
// the hub alone; failures that pass are tried again, a bounded number of times.
import QLoRADiagnostics
import QLoRAJSON

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a server answered at the end of its redirects.
struct HubAnswer {
  /// The head of the first answer, which is the hub's own.
  let first: TransferHead
  let head: TransferHead
  /// Whether it broke off.
  let failure: TransferFailure?

  /// Whether the same question may get another answer in a while.
  var mayPass: Bool {
    if Self.passing.contains(head.status) { return true }
    // A refusal whose text broke off is a refusal all the same.
    guard let failure, head.status < 300 else { return false }
    return !failure.isFinal
  }

  /// Overload and its kin.
  private static let passing: Set = [408, 425, 429, 500, 502, 503, 504]

  var text: String {
    failure.map { $0.message } ?? "the server answered with status \(head.status)"
  }
}

package final class HubClient {
  let settings: HubSettings
  let retries: RetryPolicy
  private let transfer: Transfer
  private let limits: TransferLimits
  private let agent: String
  let isStopped: () -> Bool

  /// As many as browsers follow at most is 20; the hub needs two.
  private static let mostRedirects = 10
  /// Of an answer that is no file.
  private static let longestJSON = 1 << 25
  /// What is read of the body of a refusal.
  private static let longestRefusal = 1 << 16
  /// For a question that is no file.
  private static let questionMilliseconds = 120_000

  /// - Throws: `hubNoLibrary`.
  package init(
    _ settings: HubSettings, agent: String, limits: TransferLimits = TransferLimits(),
    retries: RetryPolicy = RetryPolicy(), isStopped: @escaping () -> Bool = { false }
  ) throws(Diagnostic) {
    guard let transfer = Transfer() else {
      throw Diagnostic(
        .hubNoLibrary, "downloads need libcurl, which this system lacks",
        remedy: "install it, as with `sudo apt-get install curl`")
    }
    self.settings = settings
    self.agent = agent
    self.limits = limits
    self.retries = retries
    self.isStopped = isStopped
    self.transfer = transfer
  }

  /// The library that downloads; nil where it is missing.
  package static var libraryName: String? { Transfer.libraryName }

  /// One try.
  ///
  /// - Parameter onBody: gets pieces of a body with status 200 or 206; false ends the request.
  /// - Throws: `hubRefused` for a redirect to where nothing may be asked; `hubStopped`.
  func ask(
    _ address: HubAddress, headers: [String] = [], isHead: Bool = false,
    totalMilliseconds: Int = 0,
    onBody: @escaping (TransferHead, UnsafeRawBufferPointer) -> Bool = { _, _ in true }
  ) throws(Diagnostic) -> HubAnswer {
    var place = address
    var mayKnowToken = true
    var first: TransferHead?
    for _ in 0...Self.mostRedirects {
      // Once away from the hub, nothing leads back to being trusted.
      mayKnowToken = mayKnowToken && place.hasOrigin(of: settings.endpoint)
      var request = TransferRequest(address: place, headers: headers, isHead: isHead)
      request.headers += ["Accept-Encoding: identity", "User-Agent: \(agent)"]
      if mayKnowToken, let token = settings.token {
        request.headers.append("Authorization: Bearer \(token)")
      }
      request.limits = limits
      request.limits.totalMilliseconds = totalMilliseconds
      request.certificates = settings.certificates
      var refusalBytes = 0
      let (head, failure) = transfer.perform(request, isCancelled: isStopped) { head, bytes in
        if [200, 206].contains(head.status) { return onBody(head, bytes) }
        refusalBytes += bytes.count
        return refusalBytes <= Self.longestRefusal
      }
      if isStopped() { throw Self.stopped }
      first = first ?? head
      let answer = HubAnswer(first: first ?? head, head: head, failure: failure)
      guard (300..<400).contains(head.status), let location = head.fields["location"] else {
        return answer
      }
      let next = try Self.redirect(from: place, to: location)
      // Of a file elsewhere the hub has said all there is to know.
      if isHead, !next.hasOrigin(of: place) { return answer }
      place = next
    }
    throw Diagnostic(
      .hubRefused, "more than \(Self.mostRedirects) redirects", at: .file(address.text))
  }

  private static func redirect(
    from place: HubAddress, to location: String
  ) throws(Diagnostic) -> HubAddress {
    guard let next = place.redirected(to: location), next.isAllowed,
      next.isSecure || !place.isSecure, !next.isLoopback || place.isLoopback
    else {
      throw Diagnostic(
        .hubRefused, "a redirect to \"\(HubName.shown(location))\" is not followed",
        at: .file(place.text), remedy: "check HF_ENDPOINT and the network")
    }
    return next
  }

  static let stopped = Diagnostic(
    .hubStopped, "the download was stopped", remedy: "the same command goes on where it stopped")

  // MARK: Whole answers

  /// Asks until the answer is not one that passes.
  func settle(
    _ address: HubAddress, isHead: Bool = false,
    onStart: () -> Void = {},
    onBody: @escaping (TransferHead, UnsafeRawBufferPointer) -> Bool = { _, _ in true }
  ) throws(Diagnostic) -> HubAnswer {
    var course = RetryCourse(retries)
    while true {
      onStart()
      let answer = try ask(
        address, isHead: isHead, totalMilliseconds: Self.questionMilliseconds, onBody: onBody)
      guard answer.mayPass else { return answer }
      guard let pause = course.pause(after: answer, isFruitful: false) else {
        throw unreachable(answer, address)
      }
      try wait(pause)
    }
  }

  /// - Parameter subject: what is asked for, for the error.
  func json(_ address: HubAddress, _ subject: HubReference) throws(Diagnostic) -> JSONValue {
    var bytes: [UInt8] = []
    let answer = try settle(address, onStart: { bytes = [] }) { _, piece in
      bytes += piece
      return bytes.count <= Self.longestJSON
    }
    guard bytes.count <= Self.longestJSON else {
      throw Diagnostic(
        .hubRefused, "an answer of more than \(Self.longestJSON) bytes", at: .file(address.text),
        remedy: "check HF_ENDPOINT")
    }
    try check(answer, address, subject)
    do {
      return try JSONValue(parsing: bytes)
    } catch {
      throw Diagnostic(
        .hubRefused, "expected JSON: \(error.message)", at: .file(address.text),
        remedy: "check HF_ENDPOINT")
    }
  }

  func unreachable(_ answer: HubAnswer, _ address: HubAddress) -> Diagnostic {
    Diagnostic(
      .hubUnreachable, "given up: \(answer.text)", at: .file(address.text),
      remedy: "check the network, then run the command again; it goes on where it stopped")
  }

  /// Sleeps, and wakes up when asked to stop.
  func wait(_ pause: Duration) throws(Diagnostic) {
    let end = ContinuousClock.now + pause
    let longestSleep: UInt32 = 50_000
    while .now < end {
      if isStopped() { throw Self.stopped }
      let left = (end - .now).components
      let micros =
        left.seconds > 0 ? longestSleep : UInt32(max(0, left.attoseconds) / 1_000_000_000_000)
      usleep(min(longestSleep, micros + 1))
    }
  }
}
