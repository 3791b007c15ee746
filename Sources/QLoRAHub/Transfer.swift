// One HTTP request by libcurl, with what the server said of it. It follows no redirect, repeats
// nothing and knows no credentials.
import CQLoRATransfer

/// How long a request may take.
package struct TransferLimits: Sendable {
  package var connectMilliseconds = 20_000
  /// Of a whole request; 0 for none, as of a large file.
  package var totalMilliseconds = 0
  /// A connection that brings less than `slowBytes` a second for so long is given up.
  package var slowSeconds = 30
  package var slowBytes = 1024

  package init() {}
}

package struct TransferRequest {
  var address: HubAddress
  var headers: [String] = []
  var isHead = false
  var limits = TransferLimits()
  var certificates: String?
}

/// The head of an answer; names of fields in lower case.
struct TransferHead: Sendable {
  var status = 0
  var fields: [String: String] = [:]
}

/// What libcurl says went wrong.
struct TransferFailure: Error {
  let number: Int32
  let message: String

  /// Whether trying again is of no use: certificates that don't convince, a bad address, an answer
  /// that was stopped because it was too long.
  var isFinal: Bool { [1, 3, 23, 51, 58, 59, 60, 66, 77, 82, 83, 90, 91].contains(number) }
}

/// One handle of libcurl, which keeps connections open from request to request.
final class Transfer {
  private let handle: OpaquePointer

  /// The library and its version, such as `libcurl/8.14.1`; nil where there is none.
  static var libraryName: String? {
    // SAFETY: the text lives as long as the library, which is never unloaded.
    guard let text = qlora_transfer_version() else { return nil }
    return String(cString: text).split(separator: " ").first.map(String.init)
  }

  /// nil where there is no libcurl.
  init?() {
    guard let handle = qlora_transfer_open() else { return nil }
    self.handle = handle
  }

  deinit { qlora_transfer_close(handle) }

  /// Longest head: what real servers send is a tenth of it.
  private static let longestHead = 1 << 18

  /// What the callbacks of one request share.
  private final class Course {
    let onBody: (TransferHead, UnsafeRawBufferPointer) -> Bool
    let isCancelled: () -> Bool
    var head = TransferHead()
    var headBytes = 0

    init(
      _ onBody: @escaping (TransferHead, UnsafeRawBufferPointer) -> Bool,
      _ isCancelled: @escaping () -> Bool
    ) {
      self.onBody = onBody
      self.isCancelled = isCancelled
    }

    /// A status line begins a head: there are several after "100 Continue" or a proxy.
    func take(line: String) -> Bool {
      headBytes += line.utf8.count
      guard headBytes <= longestHead else { return false }
      if line.hasPrefix("HTTP/") {
        let words = line.split(separator: " ", maxSplits: 2)
        head = TransferHead(status: words.count > 1 ? Int(words[1]) ?? 0 : 0)
      } else if let colon = line.firstIndex(of: ":") {
        let name = line[..<colon].lowercased()
        let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
        head.fields[name] = String(value)
      }
      return true
    }
  }

  /// - Parameter onBody: gets each piece of the body with the head before it; false ends the
  ///   request.
  /// - Returns: the head, also of a request that broke off in its body, and what went wrong.
  func perform(
    _ request: TransferRequest, isCancelled: @escaping () -> Bool,
    onBody: @escaping (TransferHead, UnsafeRawBufferPointer) -> Bool
  ) -> (head: TransferHead, failure: TransferFailure?) {
    let course = Course(onBody, isCancelled)
    var message = [CChar](repeating: 0, count: 256)
    // SAFETY: `course` outlives the call, during which alone libcurl uses the pointers; so do the
    // texts of address, headers and certificates, which are copied here and freed at the end.
    let texts = request.headers.map { Self.copy($0) }
    let url = Self.copy(request.address.text)
    let certificates = request.certificates.map { Self.copy($0) }
    defer { for text in texts + [url] + (certificates.map { [$0] } ?? []) { text.deallocate() } }
    let number = texts.map { $0.baseAddress.map { UnsafePointer($0) } }.withUnsafeBufferPointer {
      headers in
      var native = qlora_transfer_request()
      native.url = UnsafePointer(url.baseAddress)
      native.headers = headers.baseAddress
      native.header_count = headers.count
      native.certificates = certificates.flatMap { UnsafePointer($0.baseAddress) }
      native.is_head = request.isHead
      native.is_direct = request.address.isLoopback
      native.connect_milliseconds = Int64(request.limits.connectMilliseconds)
      native.total_milliseconds = Int64(request.limits.totalMilliseconds)
      native.slow_bytes = Int64(request.limits.slowBytes)
      native.slow_seconds = Int64(request.limits.slowSeconds)
      Self.connect(&native, course)
      return qlora_transfer_perform(handle, &native, &message, message.count)
    }
    let said = String(
      decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (course.head, number == 0 ? nil : TransferFailure(number: number, message: said))
  }

  private static func copy(_ text: String) -> UnsafeMutableBufferPointer<CChar> {
    let bytes = text.utf8CString
    let copy = UnsafeMutableBufferPointer<CChar>.allocate(capacity: bytes.count)
    _ = copy.initialize(from: bytes)
    return copy
  }

  private static func connect(_ native: inout qlora_transfer_request, _ course: Course) {
    // SAFETY: the caller keeps `course` alive as long as the request runs.
    native.context = Unmanaged.passUnretained(course).toOpaque()
    native.on_header = { line, count, context in
      guard let line, let context else { return false }
      let text = String(
        decoding: UnsafeRawBufferPointer(start: line, count: count), as: UTF8.self)
      return Unmanaged<Course>.fromOpaque(context).takeUnretainedValue()
        .take(line: text.split(whereSeparator: \.isNewline).first.map(String.init) ?? "")
    }
    native.on_body = { bytes, count, context in
      guard let context else { return false }
      let course = Unmanaged<Course>.fromOpaque(context).takeUnretainedValue()
      return course.onBody(course.head, UnsafeRawBufferPointer(start: bytes, count: count))
    }
    native.is_cancelled = { context in
      guard let context else { return false }
      return Unmanaged<Course>.fromOpaque(context).takeUnretainedValue().isCancelled()
    }
  }
}
