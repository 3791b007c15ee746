// Requests out of bytes, however these are cut, and what is refused.
import QLoRAServing
import Synchronization
import Testing

@Suite struct RequestReaderTests {
  private struct Gone: Error {}

  /// A connection on which these pieces come, and then the end.
  private func reader(_ pieces: [[UInt8]]) -> RequestReader {
    let left = Rest(pieces)
    return RequestReader { _ in
      guard let piece = left.pieces.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else {
        throw Gone()
      }
      return piece
    }
  }

  private final class Rest: Sendable {
    let pieces: Mutex<[[UInt8]]>
    init(_ pieces: [[UInt8]]) { self.pieces = Mutex(pieces) }
  }

  private func problem(_ text: String) async -> RequestProblem? {
    var reader = reader([Array(text.utf8)])
    do {
      _ = try await reader.head()
      return nil
    } catch {
      return error
    }
  }

  private static let two = Array(
    """
    POST /v1/completions?key=1 HTTP/1.1\r\nHost: localhost:80\r\nContent-Type:\t a/b \r\n\
    content-length: 5\r\n\r\nhello\r\nPOST /second HTTP/1.1\r\nHost: localhost\r\n\
    Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;x=y\r\nabc\r\n00A\r\n0123456789\r\n\
    0\r\nTrailer: 1\r\n\r\n
    """.utf8)

  private func expectTwo(_ reader: RequestReader) async throws {
    var reader = reader
    let first = try #require(try await reader.head())
    #expect(first.method == "POST" && first.path == "/v1/completions" && first.keepsAlive)
    #expect(first.header("host") == "localhost:80" && first.header("content-type") == "a/b")
    #expect(first.framing == .count(5))
    #expect(await reader.body(first.framing) == .bytes(Array("hello".utf8)))
    let second = try #require(try await reader.head())
    #expect(second.path == "/second" && !second.keepsAlive && second.framing == .chunked)
    #expect(await reader.body(second.framing) == .bytes(Array("abc0123456789".utf8)))
    #expect(try await reader.head() == nil)
  }

  @Test func requestsAreTheSameHoweverTheyCome() async throws {
    for cut in 0...Self.two.count {
      let pieces = [Array(Self.two[..<cut]), Array(Self.two[cut...])].filter { !$0.isEmpty }
      try await expectTwo(reader(pieces))
    }
    try await expectTwo(reader(Self.two.map { [$0] }))
  }

  @Test func aBrokenOffRequestIsNone() async throws {
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for count in 0..<head.utf8.count {
      var reader = reader([Array(head.utf8.prefix(count))].filter { !$0.isEmpty })
      #expect(try await reader.head() == nil)
    }
    var short = reader([Array("hell".utf8)])
    #expect(await short.body(.count(5)) == .incomplete)
  }

  @Test(arguments: [
    "GET /\r\n\r\n", "GET / HTTP/1.1\n\n", "GET  / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n",
    "G\u{e4}T / HTTP/1.1\r\n\r\n", "GET x HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nA: \u{1}\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
  ])
  func whatIsNotHTTPIsRefused(text: String) async {
    #expect(await problem(text) == .malformed)
  }

  @Test func whatIsNotSpokenIsSaid() async {
    #expect(await problem("GET / HTTP/2.0\r\n\r\n") == .unknownVersion)
    let coded = "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    #expect(await problem(coded) == .unknownCoding)
  }

  @Test func headsHaveALimit() async throws {
    let frame = "GET / HTTP/1.1\r\nA: \r\n\r\n".utf8.count
    let longest = RequestReader.longestHead
    func head(_ count: Int) -> String {
      "GET / HTTP/1.1\r\nA: \(String(repeating: "a", count: count - frame))\r\n\r\n"
    }
    #expect(await problem(head(longest)) == nil)
    #expect(await problem(head(longest + 1)) == .headTooLong)
    // One line that never ends is not collected.
    var reader = reader((0..<100).map { _ in [UInt8](repeating: 0x61, count: 4096) })
    await #expect(throws: RequestProblem.headTooLong) { _ = try await reader.head() }
  }

  @Test(arguments: ["", "x", "-1", "+1", "10000000000000000", "ffffffffffffffff", "4000001"])
  func chunksThatAreNoneEndTheBody(size: String) async {
    var reader = reader([Array("\(size)\r\nabc\r\n0\r\n\r\n".utf8)])
    #expect(await reader.body(.chunked) == .incomplete)
  }

  @Test func bodiesHaveALimit() async {
    let piece = [UInt8](repeating: 1, count: 1 << 20)
    let most = LocalServer.longestBody
    var whole = reader((0..<8).map { _ in piece })
    #expect(await whole.body(.count(most)) == .bytes([UInt8](repeating: 1, count: most)))
    var long = reader((0..<9).map { _ in piece })
    #expect(await long.body(.count(most + 1)) == .tooLong)
    var endless = reader([piece])
    #expect(await endless.body(.count(RequestReader.longestPassedOver + 1)) == .incomplete)
  }

  @Test(arguments: [
    ("HTTP/1.1", "", true), ("HTTP/1.1", "close", false), ("HTTP/1.0", "", false),
    ("HTTP/1.0", "Keep-Alive", true), ("HTTP/1.1", "x, Close", false),
  ])
  func connectionsStayOpenAsTheHeadSays(
    version: String, connection: String, stays: Bool
  ) async throws {
    let header = connection.isEmpty ? "" : "Connection: \(connection)\r\n"
    var reader = reader([Array("GET http://localhost/a?b \(version)\r\n\(header)\r\n".utf8)])
    let head = try #require(try await reader.head())
    #expect(head.keepsAlive == stays && head.path == "/a")
  }
}
