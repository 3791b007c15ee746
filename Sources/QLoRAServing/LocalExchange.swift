// What is asked over HTTP and what it is answered: plain values, so that whatever answers needs no
// socket to be tried.

package struct LocalRequest: Sendable {
  package var method: String
  /// Without the query.
  package var path: String
  /// The `Host` header.
  package var host: String?
  /// The headers of these names.
  package var contentType: String?
  package var authorization: String?
  package var body: LocalBody

  package init(
    method: String = "GET", path: String, host: String? = "localhost",
    contentType: String? = nil, authorization: String? = nil, body: LocalBody = .bytes([])
  ) {
    self.method = method
    self.path = path
    self.host = host
    self.contentType = contentType
    self.authorization = authorization
    self.body = body
  }

  /// Whether the request names this machine. A page from elsewhere whose name was made to lead here
  /// (DNS rebinding) still says its own name, and gets nothing.
  package var isLocal: Bool {
    guard let host else { return false }
    let names = ["127.0.0.1", "localhost", "[::1]"]
    return names.contains { name in
      guard host.hasPrefix(name) else { return false }
      let rest = host.dropFirst(name.count)
      return rest.isEmpty || (rest.first == ":" && Int(rest.dropFirst()) != nil)
    }
  }
}

/// What came with a request.
package enum LocalBody: Sendable, Equatable {
  case bytes([UInt8])
  /// More than `LocalServer.longestBody`.
  case tooLong
  /// It did not come in time, or was broken off.
  case incomplete
}

/// An answer at once, or in pieces.
package enum LocalAnswer: Sendable {
  case whole(LocalResponse)
  /// With status 200. No piece is empty; where the reader goes away, the stream is let go; where it
  /// throws, the connection is broken off.
  case pieces(type: String, any AsyncSequence<[UInt8], any Error> & Sendable)
}

package struct LocalResponse: Sendable, Equatable {
  package var status: Int
  package var type: String
  package var body: [UInt8]

  package init(status: Int = 200, type: String, _ body: String) {
    self.status = status
    self.type = type
    self.body = Array(body.utf8)
  }

  package static func failure(_ status: Int, _ message: String) -> LocalResponse {
    LocalResponse(status: status, type: "text/plain; charset=utf-8", message + "\n")
  }

  /// What every reader answers to requests that it must not or cannot serve; nil for the others.
  package static func refusal(of request: LocalRequest) -> LocalResponse? {
    guard request.isLocal else {
      return failure(403, "this page is for this machine alone: open it as http://127.0.0.1")
    }
    guard request.method == "GET" || request.method == "HEAD" else {
      return failure(405, "there is nothing to change here")
    }
    return nil
  }
}
