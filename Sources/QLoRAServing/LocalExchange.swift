// What a page of this machine asks and what it is answered: plain values, so that whatever answers
// needs no socket to be tried.

package struct LocalRequest: Sendable {
  package var method: String
  /// Without the query.
  package var path: String
  /// The `Host` header.
  package var host: String?

  package init(method: String = "GET", path: String, host: String? = "localhost") {
    self.method = method
    self.path = path
    self.host = host
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
