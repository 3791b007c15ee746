// Requests and answers between the library that speaks HTTP and plain values.
import FlyingFox
import FlyingSocks
import Foundation

extension LocalServer {
  package static let longestBody = 8 << 20
  /// A body beyond the limit is read and thrown away up to here, so that whoever sends it comes to
  /// read why; beyond, the connection ends.
  private static let longestPassedOver = 64 << 20
  /// Seconds that a body may take to come.
  static let longestWait = 30.0

  static func request(_ request: HTTPRequest) async -> LocalRequest {
    LocalRequest(
      method: request.method.rawValue, path: request.path,
      host: request.headers[HTTPHeader("Host")],
      contentType: request.headers[HTTPHeader("Content-Type")],
      authorization: request.headers[HTTPHeader("Authorization")],
      body: await body(of: request))
  }

  private static func body(of request: HTTPRequest) async -> LocalBody {
    let sequence = request.bodySequence
    return await withTaskGroup(of: LocalBody.self) { group in
      group.addTask { await read(sequence) }
      group.addTask {
        try? await Task.sleep(for: .seconds(longestWait))
        return .incomplete
      }
      defer { group.cancelAll() }
      return await group.next() ?? .incomplete
    }
  }

  private static func read(_ sequence: HTTPBodySequence) async -> LocalBody {
    // What is announced as endless is not waited for.
    if let count = sequence.count, count > longestPassedOver { return .incomplete }
    var bytes: [UInt8] = []
    var count = 0
    do {
      for try await piece in sequence {
        count += piece.count
        if count > longestPassedOver { return .incomplete }
        if count <= longestBody { bytes += piece } else { bytes = [] }
      }
    } catch {
      return .incomplete
    }
    if let announced = sequence.count, announced != count { return .incomplete }
    return count <= longestBody ? .bytes(bytes) : .tooLong
  }

  static func response(_ answer: LocalAnswer, to request: LocalRequest) -> HTTPResponse {
    switch answer {
    case .pieces(let type, let pieces):
      return HTTPResponse(
        statusCode: .ok, headers: headers(type),
        body: endless(pieces))
    case .whole(let whole):
      let status = HTTPStatusCode(whole.status, phrase: "")
      // What is left of a broken body must not be read as the next request.
      if request.body == .incomplete {
        let pieces = AsyncThrowingStream<[UInt8], any Error> {
          $0.yield(whole.body)
          $0.finish(throwing: SocketError.disconnected)
        }
        return HTTPResponse(
          statusCode: status, headers: headers(whole.type),
          body: HTTPBodySequence(from: PieceSequence(pieces: pieces), count: whole.body.count))
      }
      return HTTPResponse(
        statusCode: status, headers: headers(whole.type),
        body: request.method == "HEAD" ? Data() : Data(whole.body))
    }
  }

  private static func endless(
    _ pieces: some AsyncSequence<[UInt8], any Error> & Sendable
  ) -> HTTPBodySequence {
    HTTPBodySequence(from: PieceSequence(pieces: pieces))
  }

  private static func headers(_ type: String) -> HTTPHeaders {
    [
      HTTPHeader("Content-Type"): type, HTTPHeader("Cache-Control"): "no-store",
      HTTPHeader("X-Content-Type-Options"): "nosniff", HTTPHeader("X-Frame-Options"): "DENY",
    ]
  }
}

/// Pieces as the library reads bodies.
private struct PieceSequence<Base>: AsyncBufferedSequence
where Base: AsyncSequence<[UInt8], any Error> & Sendable {
  typealias Element = UInt8

  let pieces: Base

  func makeAsyncIterator() -> Iterator { Iterator(pieces: pieces.makeAsyncIterator()) }

  struct Iterator: AsyncBufferedIteratorProtocol {
    var pieces: Base.AsyncIterator
    /// Backwards.
    private var rest: [UInt8] = []

    init(pieces: Base.AsyncIterator) { self.pieces = pieces }

    mutating func next() async throws -> UInt8? {
      if rest.isEmpty { rest = try await nextBuffer(suggested: 1)?.reversed() ?? [] }
      return rest.popLast()
    }

    mutating func nextBuffer(suggested count: Int) async throws -> [UInt8]? {
      try await pieces.next()
    }
  }
}
