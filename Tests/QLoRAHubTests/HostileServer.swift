// An HTTP server on this machine that misbehaves as it is told, and remembers what it was asked. It
// closes each connection after one answer.
import Foundation
import Synchronization

struct ServedRequest: Sendable {
  let method: String
  /// Path and query.
  let target: String
  /// Names in lower case.
  let fields: [String: String]

  /// The first byte that is asked for; nil without a `Range`.
  var rangeStart: Int? {
    fields["range"].flatMap { Int($0.dropFirst("bytes=".count).prefix { $0 != "-" }) }
  }
}

struct ServedAnswer: Sendable {
  var status = 200
  var fields: [String: String] = [:]
  var body: [UInt8] = []
  /// What `Content-Length` says; nil: the truth.
  var announced: Int?
  /// Bytes of the body after which the connection is cut.
  var cutAfter = Int.max
  /// Whether the body is said once more and once more.
  var isEndless = false
  /// Milliseconds before each byte of the answer.
  var pause = 0

  /// A file, or the part of it that is asked for.
  static func file(_ body: [UInt8], _ request: ServedRequest, _ fields: [String: String] = [:])
    -> ServedAnswer
  {
    guard let start = request.rangeStart else { return ServedAnswer(fields: fields, body: body) }
    guard start < body.count else { return ServedAnswer(status: 416, fields: fields) }
    var answer = ServedAnswer(status: 206, fields: fields, body: Array(body[start...]))
    answer.fields["Content-Range"] = "bytes \(start)-\(body.count - 1)/\(body.count)"
    return answer
  }
}

final class HostileServer: Sendable {
  let port: Int
  private let listener: Int32
  private let answer: @Sendable (ServedRequest) -> ServedAnswer
  private let log = Mutex<[ServedRequest]>([])
  private let sent = Mutex(0)
  private let isOver = Mutex(false)

  init(_ answer: @escaping @Sendable (ServedRequest) -> ServedAnswer) throws {
    self.answer = answer
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let (socket, bytes) = (listener, size)
    let isBound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, bytes) } == 0
    }
    guard isBound, listen(listener, 64) == 0 else { throw CocoaError(.fileReadUnknown) }
    withUnsafeMutablePointer(to: &address) { pointer in
      _ = pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        getsockname(socket, $0, &size)
      }
    }
    port = Int(UInt16(bigEndian: address.sin_port))
    Thread.detachNewThread { [listener] in
      while true {
        let connection = accept(listener, nil, nil)
        if connection < 0 { return }
        Thread.detachNewThread { [weak self] in
          self?.serve(connection)
          close(connection)
        }
      }
    }
  }

  deinit {
    isOver.withLock { $0 = true }
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  var address: String { "http://127.0.0.1:\(port)" }
  var requests: [ServedRequest] { log.withLock { $0 } }
  /// Bytes of bodies that were sent.
  var sentBytes: Int { sent.withLock { $0 } }

  private func serve(_ connection: Int32) {
    guard let request = Self.read(connection) else { return }
    log.withLock { $0.append(request) }
    let answer = answer(request)
    let isHead = request.method == "HEAD"
    var head = "HTTP/1.1 \(answer.status) Status\r\nConnection: close\r\n"
    for (name, value) in answer.fields { head += "\(name): \(value)\r\n" }
    if !answer.isEndless {
      head += "Content-Length: \(answer.announced ?? answer.body.count)\r\n"
    }
    guard send(Array((head + "\r\n").utf8), connection, pause: answer.pause), !isHead else {
      return
    }
    let body = Array(answer.body.prefix(answer.cutAfter))
    repeat {
      guard send(body, connection, pause: answer.pause) else { return }
      sent.withLock { $0 += body.count }
    } while answer.isEndless && !isOver.withLock { $0 }
    shutdown(connection, Int32(SHUT_WR))
    // Until the other side has read it all; closing at once could take it back.
    var rest = [UInt8](repeating: 0, count: 256)
    while recv(connection, &rest, rest.count, 0) > 0 {}
  }

  private func send(_ bytes: [UInt8], _ connection: Int32, pause: Int) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      if pause > 0 { usleep(UInt32(pause) * 1000) }
      if isOver.withLock({ $0 }) { return false }
      let piece = pause > 0 ? rest.prefix(1) : rest
      let count = piece.withUnsafeBytes {
        Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }

  private static func read(_ connection: Int32) -> ServedRequest? {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) {
      let count = recv(connection, &piece, piece.count, 0)
      guard count > 0 else { return nil }
      bytes += piece[..<count]
    }
    let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
    let words = lines[0].split(separator: " ").map(String.init)
    guard words.count == 3 else { return nil }
    let pairs = lines.dropFirst().compactMap { line in
      line.firstIndex(of: ":").map {
        (line[..<$0].lowercased(), line[line.index($0, offsetBy: 2)...].description)
      }
    }
    return ServedRequest(
      method: words[0], target: words[1], fields: Dictionary(pairs) { $1 })
  }
}
