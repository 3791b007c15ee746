// The head of an HTTP request: what its lines say, or why it is refused. Pure; no socket.

/// Why a request is not read further, as the status that says so.
package enum RequestProblem: Int, Error {
  case malformed = 400
  case headTooLong = 431
  case unknownCoding = 501
  case unknownVersion = 505

  package var message: String {
    switch self {
    case .malformed: "the request is not HTTP"
    case .headTooLong: "the headers take more than \(RequestReader.longestHead) bytes"
    case .unknownCoding: "a body may come as it is or chunked, in no other coding"
    case .unknownVersion: "HTTP/1.1 is spoken here"
    }
  }
}

/// How long a body is.
package enum BodyFraming: Equatable {
  case none
  case count(Int)
  case chunked
}

/// Source: RFC 9112, sections 2 to 7; RFC 9110, section 5.6.2.
package struct RequestHead {
  package var method: String
  /// As it came, without the query.
  package var path: String
  package var framing = BodyFraming.none
  /// Whether another request may follow on the connection.
  package var keepsAlive: Bool
  /// Whether the body is sent only after an interim answer.
  package var expectsContinue = false
  /// HTTP/1.0 knows no chunks.
  package var takesChunks: Bool
  private var fields: [String: String] = [:]

  /// - Parameters:
  ///   - line: the request line, without its line break.
  ///   - headers: the lines that follow it.
  package init(line: [UInt8], headers: [[UInt8]]) throws(RequestProblem) {
    guard let line = String(validating: line, as: UTF8.self) else { throw .malformed }
    let parts = line.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 3, Self.isToken(parts[0]), parts[2].hasPrefix("HTTP/") else {
      throw .malformed
    }
    guard parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0" else { throw .unknownVersion }
    guard let path = Self.path(parts[1]) else { throw .malformed }
    method = String(parts[0])
    self.path = path
    takesChunks = parts[2] == "HTTP/1.1"
    keepsAlive = takesChunks
    for header in headers { try add(header) }
    try settle()
  }

  /// The value of a header, of all its lines, by its name in small letters.
  package func header(_ name: String) -> String? { fields[name] }

  /// Requests of a proxy name the whole address; its path is the same.
  private static func path(_ target: Substring) -> String? {
    guard target.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else { return nil }
    let path = target.prefix { $0 != "?" && $0 != "#" }
    if path.hasPrefix("/") || path == "*" { return String(path) }
    let scheme = "http://"
    guard path.hasPrefix(scheme) else { return nil }
    return String(path.dropFirst(scheme.count).drop { $0 != "/" })
  }

  private static func isToken(_ text: Substring) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "a")...UInt8(ascii: "z"):
          true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
      }
  }

  private mutating func add(_ line: [UInt8]) throws(RequestProblem) {
    guard let line = String(validating: line, as: UTF8.self),
      let colon = line.firstIndex(of: ":"), Self.isToken(line[..<colon])
    else { throw .malformed }
    let value = line[line.index(after: colon)...].trimmed
    guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else {
      throw .malformed
    }
    let name = line[..<colon].lowercased()
    // Two hosts or two lengths are how one request is made to look like two.
    if let before = fields[name] {
      guard name != "host", name != "content-length" else { throw .malformed }
      fields[name] = before + ", " + value
    } else {
      fields[name] = String(value)
    }
  }

  private mutating func settle() throws(RequestProblem) {
    let connection = (header("connection") ?? "").lowercased().split(separator: ",").map(\.trimmed)
    if connection.contains("close") { keepsAlive = false }
    if connection.contains("keep-alive") { keepsAlive = true }
    expectsContinue = header("expect")?.lowercased() == "100-continue"
    let length = header("content-length")
    if let coding = header("transfer-encoding") {
      guard length == nil, takesChunks else { throw .malformed }
      guard coding.lowercased() == "chunked" else { throw .unknownCoding }
      framing = .chunked
    } else if let length {
      guard length.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }),
        let count = Int(length)
      else { throw .malformed }
      framing = .count(count)
    }
  }
}

extension Substring {
  /// Without blanks and tabs at both ends.
  fileprivate var trimmed: Substring {
    let isBlank = { (character: Character) in character == " " || character == "\t" }
    var text = drop(while: isBlank)
    while let last = text.last, isBlank(last) { text.removeLast() }
    return text
  }
}
