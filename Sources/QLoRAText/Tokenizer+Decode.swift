// From ids to text, at once or as they come.

extension Tokenizer {
  /// The text of some ids. Bytes that are not UTF-8 become U+FFFD.
  package func decode(_ ids: [Int32], skipsControlTokens: Bool = false) -> String {
    var bytes: [UInt8] = []
    for id in ids where !(skipsControlTokens && isControl(id)) {
      bytes.append(contentsOf: self.bytes(of: id))
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  package func makeStreamingDecoder() -> StreamingDecoder { StreamingDecoder(tokenizer: self) }
}

/// Decodes ids one by one and hands out only whole characters.
package struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  /// The beginning of a character whose other bytes have not come yet.
  private var pending: [UInt8] = []

  init(tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// The text that the id completes; empty while a character is unfinished.
  package mutating func append(_ id: Int32) -> String {
    pending.append(contentsOf: tokenizer.bytes(of: id))
    let complete = pending.count - Self.unfinishedCount(pending)
    defer { pending.removeFirst(complete) }
    return String(decoding: pending[..<complete], as: UTF8.self)
  }

  /// What is left when no more ids come; an unfinished character becomes U+FFFD.
  package mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// How many bytes at the end may still become a character.
  private static func unfinishedCount(_ bytes: [UInt8]) -> Int {
    for count in 1...3 where count <= bytes.count {
      let byte = bytes[bytes.count - count]
      if byte & 0xC0 == 0x80 { continue }
      let needed = byte >= 0xF0 && byte < 0xF5 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1
      return byte < 0xF5 && needed > count ? count : 0
    }
    return 0
  }
}
