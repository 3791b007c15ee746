// Heads and bodies of requests, out of the bytes of a connection. Everything that comes has a limit
// of length and of time.

/// Reads one request after another.
package struct RequestReader {
  /// Bytes that the lines of a head may take.
  package static let longestHead = 16 << 10
  /// A body beyond the limit is read and thrown away up to here, so that whoever sends it comes to
  /// read why; beyond, the connection ends.
  package static let longestPassedOver = 64 << 20
  /// That a head, a body or a piece of an answer may take.
  package static let longestWait = Duration.seconds(30)

  /// Gives what came next, some bytes at least.
  /// - Throws: where the other side is gone, or nothing comes until the deadline.
  package typealias Receive =
    @Sendable (_ deadline: ContinuousClock.Instant) async throws -> [UInt8]

  private let receive: Receive
  private var deadline = ContinuousClock.now
  /// What came and was not yet taken: everything from `start` on.
  private var buffer: [UInt8] = []
  private var start = 0

  package init(receive: @escaping Receive) { self.receive = receive }

  /// The next head; nil where none comes.
  package mutating func head() async throws(RequestProblem) -> RequestHead? {
    deadline = .now + Self.longestWait
    var left = Self.longestHead
    // Some clients end a body with a line break too many (RFC 9112, section 2.2).
    guard var first = try await line(&left) else { return nil }
    if first.isEmpty {
      guard let second = try await line(&left) else { return nil }
      first = second
    }
    var headers: [[UInt8]] = []
    while let line = try await line(&left) {
      if line.isEmpty { return try RequestHead(line: first, headers: headers) }
      headers.append(line)
    }
    return nil
  }

  /// The body that belongs to a head.
  package mutating func body(_ framing: BodyFraming) async -> LocalBody {
    deadline = .now + Self.longestWait
    var body = CollectedBody()
    do {
      switch framing {
      case .none: break
      case .count(let count): try await take(count, into: &body)
      case .chunked: try await takeChunks(into: &body)
      }
    } catch {
      return .incomplete
    }
    return body.bytes.map { .bytes($0) } ?? .tooLong
  }

  /// Passes over what was sent and is of no use, for at most a moment.
  mutating func drain() async {
    let moment = Duration.seconds(1)
    let (until, most) = (ContinuousClock.now + moment, 1 << 20)
    var count = 0
    while count < most, let bytes = try? await receive(until) { count += bytes.count }
  }

  /// Source: RFC 9112, section 7.1. Extensions and trailers are passed over.
  private mutating func takeChunks(into body: inout CollectedBody) async throws {
    let longestSize = 16
    while true {
      var left = Self.longestHead
      guard let line = try await line(&left) else { throw RequestProblem.malformed }
      let digits = line.prefix { $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: " ") }
      guard digits.count <= longestSize, digits.first != UInt8(ascii: "-"),
        digits.first != UInt8(ascii: "+"),
        let size = Int(String(decoding: digits, as: UTF8.self), radix: longestSize)
      else { throw RequestProblem.malformed }
      if size == 0 { break }
      try await take(size, into: &body)
      guard try await self.line(&left)?.isEmpty == true else { throw RequestProblem.malformed }
    }
    var left = Self.longestHead
    while let trailer = try await line(&left), !trailer.isEmpty {}
  }

  private mutating func take(_ count: Int, into body: inout CollectedBody) async throws {
    // What is announced as endless is not waited for.
    guard count <= Self.longestPassedOver - body.count else { throw RequestProblem.malformed }
    var left = count
    while left > 0 {
      if start == buffer.count { try await more() }
      let piece = min(left, buffer.count - start)
      body.append(buffer[start..<start + piece])
      start += piece
      left -= piece
    }
  }

  /// The next line, without its break; nil where the connection ends before.
  private mutating func line(_ left: inout Int) async throws(RequestProblem) -> [UInt8]? {
    let end = UInt8(ascii: "\n")
    var searched = start
    while true {
      if let found = buffer[searched...].firstIndex(of: end) {
        let line = buffer[start..<found]
        left -= line.count + 1
        guard left >= 0 else { throw .headTooLong }
        guard line.last == UInt8(ascii: "\r") else { throw .malformed }
        start = found + 1
        return Array(line.dropLast())
      }
      searched = buffer.count
      guard buffer.count - start <= left else { throw .headTooLong }
      let passed = start
      do { try await more() } catch { return nil }
      searched -= passed - start
    }
  }

  /// Waits for bytes; forgets those that were taken.
  private mutating func more() async throws {
    let bytes = try await receive(deadline)
    buffer.removeFirst(start)
    start = 0
    buffer += bytes
  }
}

/// A body as far as it is kept.
private struct CollectedBody {
  private(set) var count = 0
  private var kept: [UInt8] = []

  /// nil where it is too long.
  var bytes: [UInt8]? { count <= LocalServer.longestBody ? kept : nil }

  mutating func append(_ piece: ArraySlice<UInt8>) {
    count += piece.count
    if count <= LocalServer.longestBody { kept += piece } else { kept = [] }
  }
}
