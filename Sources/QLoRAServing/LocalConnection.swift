// One connection: its requests in turn, and what is written back.
import FlyingSocks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

struct LocalConnection: Sendable {
  let socket: AsyncSocket
  let answer: @Sendable (LocalRequest) async -> LocalAnswer

  /// Returns when either side has had enough; the socket is then closed.
  func serve() async {
    let socket = socket
    let pieceBytes = 64 << 10
    var reader = RequestReader { deadline in
      try await within(deadline) { try await socket.read(atMost: pieceBytes) }
    }
    do {
      while let head = try await reader.head() {
        guard try await exchange(head, &reader) else { break }
      }
    } catch let problem as RequestProblem {
      try? await write(
        .failure(problem.rawValue, problem.message), isWhole: true, after: nil)
      await end(&reader)
    } catch {
      // Whoever asked is gone.
    }
    try? socket.close()
  }

  /// Refuses a connection unread.
  func refuse(_ response: LocalResponse) async {
    try? await write(response, isWhole: true, after: nil)
    try? socket.close()
  }

  /// Answers one request; whether another may follow.
  private func exchange(_ head: RequestHead, _ reader: inout RequestReader) async throws -> Bool {
    let body = try await body(of: head, &reader)
    let request = LocalRequest(
      method: head.method, path: head.path, host: head.header("host"),
      contentType: head.header("content-type"), authorization: head.header("authorization"),
      body: body)
    // What is left of a body must not be read as the next request.
    var head = head
    if body == .incomplete || body == .tooLong { head.keepsAlive = false }
    switch await answer(request) {
    case .whole(let response):
      try await write(response, isWhole: head.method != "HEAD", after: head)
    case .pieces(let type, let pieces):
      try await write(pieces, type, after: head)
    }
    if !head.keepsAlive { await end(&reader) }
    return head.keepsAlive
  }

  /// Says that nothing more comes, and lets the other side read what did: a connection that is
  /// closed with something unread takes it away again.
  private func end(_ reader: inout RequestReader) async {
    shutdown(socket.socket.file.rawValue, Int32(SHUT_WR))
    await reader.drain()
  }

  private func body(
    of head: RequestHead, _ reader: inout RequestReader
  ) async throws -> LocalBody {
    if head.expectsContinue, head.framing != .none {
      // Who asks first is told before the body, not after it, that it is too long.
      if case .count(let count) = head.framing, count > LocalServer.longestBody { return .tooLong }
      try await send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
    }
    return await reader.body(head.framing)
  }

  private func write(
    _ response: LocalResponse, isWhole: Bool, after head: RequestHead?
  ) async throws {
    let text = lines(
      response.status, response.type, ["Content-Length: \(response.body.count)"], after: head)
    try await send(text + (isWhole ? response.body : []))
  }

  private func write(
    _ pieces: any AsyncSequence<[UInt8], any Error> & Sendable, _ type: String,
    after head: RequestHead
  ) async throws {
    var head = head
    if !head.takesChunks { head.keepsAlive = false }
    let framing = head.takesChunks ? ["Transfer-Encoding: chunked"] : []
    try await send(lines(200, type, framing, after: head))
    let lineBreak = Array("\r\n".utf8)
    for try await piece in pieces {
      let size = Array(String(piece.count, radix: 16).utf8) + lineBreak
      try await send(head.takesChunks ? size + piece + lineBreak : piece)
    }
    if head.takesChunks { try await send(Array("0\r\n\r\n".utf8)) }
  }

  /// The lines before a body.
  private func lines(
    _ status: Int, _ type: String, _ more: [String], after head: RequestHead?
  ) -> [UInt8] {
    let keepsAlive = head?.keepsAlive ?? false
    let lines =
      [
        "HTTP/1.1 \(status) ", "Content-Type: \(type)", "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff", "X-Frame-Options: DENY",
        "Connection: \(keepsAlive ? "keep-alive" : "close")",
      ] + more
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
  }

  /// Writes bytes, each piece in its time: whoever takes none for long is let go.
  private func send(_ bytes: [UInt8]) async throws {
    let socket = socket
    let pieceBytes = 64 << 10
    for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
      let piece = Data(bytes[start..<min(start + pieceBytes, bytes.count)])
      try await within(.now + RequestReader.longestWait) { try await socket.write(piece) }
    }
  }
}

/// What `work` returns, unless the deadline comes first.
private func within<Value: Sendable>(
  _ deadline: ContinuousClock.Instant, _ work: @escaping @Sendable () async throws -> Value
) async throws -> Value {
  try await withThrowingTaskGroup(of: Value.self) { group in
    group.addTask { try await work() }
    group.addTask {
      try await Task.sleep(until: deadline)
      throw SocketError.timeout(message: "")
    }
    defer { group.cancelAll() }
    guard let first = try await group.next() else { throw CancellationError() }
    return first
  }
}
