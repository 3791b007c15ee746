// From ids to text, at once or as they come.

extension Tokenizer {
  /// The text of some ids. Bytes that are not UTF-8 become U+FFFD.
  package func decode(_ ids: [Int32], skipsControlTokens: Bool = false) -> String {
    var chain = DecodingChain(decoder)
    var bytes: [UInt8] = []
    for id in ids where !(skipsControlTokens && isControl(id)) {
      if let token = decodedToken(id) { chain.push(token, into: &bytes) }
    }
    chain.finish(into: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  package func makeStreamingDecoder() -> StreamingDecoder { StreamingDecoder(tokenizer: self) }

  /// nil for an id that no token has.
  func decodedToken(_ id: Int32) -> DecodedToken? {
    if let text = addedTexts[id] { return DecodedToken(id: id, text: text, isAdded: true) }
    guard vocabulary.contains(id) else { return nil }
    return DecodedToken(id: id, text: Array(vocabulary.bytes(of: id)), isAdded: false)
  }
}

/// Decodes ids one by one and hands out only whole characters.
package struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private var chain: DecodingChain
  /// The beginning of a character whose other bytes have not come yet.
  private var pending: [UInt8] = []

  init(tokenizer: Tokenizer) {
    self.tokenizer = tokenizer
    chain = DecodingChain(tokenizer.decoder)
  }

  /// The text that the id completes; empty while a character is unfinished, or while what a token
  /// means depends on those after it.
  package mutating func append(_ id: Int32) -> String {
    guard let token = tokenizer.decodedToken(id) else { return "" }
    chain.push(token, into: &pending)
    let complete = pending.count - Self.unfinishedCount(pending)
    defer { pending.removeFirst(complete) }
    return String(decoding: pending[..<complete], as: UTF8.self)
  }

  /// What is left when no more ids come; an unfinished character becomes U+FFFD.
  package mutating func finish() -> String {
    chain.finish(into: &pending)
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
