// What the hub calls a file's content: SHA-256 of large files, git's name of small ones.

/// A digest that the hub announces, which is also the name of the file in the cache.
package struct BlobDigest: Sendable, Hashable, CustomStringConvertible {
  /// 64 hexadecimal digits of SHA-256, or 40 of git's SHA-1 over a header and the content.
  package let hex: String

  /// Takes `"…"` and `W/"…"` too.
  ///
  /// - Returns: nil for anything but 40 or 64 hexadecimal digits in lower case.
  package init?(_ text: String) {
    var text = Substring(text)
    if text.hasPrefix("W/") { text = text.dropFirst(2) }
    if text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") {
      text = text.dropFirst().dropLast()
    }
    guard [40, 64].contains(text.utf8.count), Self.isHex(text) else { return nil }
    hex = String(text)
  }

  package var description: String { hex }

  static func isHex(_ text: some StringProtocol) -> Bool {
    text.utf8.allSatisfy { ("0"..."9").contains(Unicode.Scalar($0)) || (0x61...0x66).contains($0) }
  }

  /// Whether it is a commit that names exactly one state of a repository.
  package static func isCommit(_ text: String) -> Bool { text.utf8.count == 40 && isHex(text) }
}

/// The digest of a content that comes in pieces, of the kind that `expected` is.
package struct BlobHasher {
  private enum Kind {
    case large(HashStream<SHA256>)
    case git(HashStream<SHA1>)
  }

  private var kind: Kind

  /// - Parameter byteCount: of the whole content, which git puts in front.
  package init(like expected: BlobDigest, byteCount: Int) {
    if expected.hex.utf8.count == 64 {
      kind = .large(HashStream())
    } else {
      var stream = HashStream<SHA1>()
      stream.update(Array("blob \(byteCount)".utf8) + [0])
      kind = .git(stream)
    }
  }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    // Taken out while it changes, so that its buffer is not copied.
    switch kind {
    case .large(var stream):
      kind = .git(HashStream())
      stream.update(bytes)
      kind = .large(stream)
    case .git(var stream):
      kind = .large(HashStream())
      stream.update(bytes)
      kind = .git(stream)
    }
  }

  package var hex: String {
    switch kind {
    case .large(let stream): stream.hex()
    case .git(let stream): stream.hex()
    }
  }
}
