// How SentencePiece makes a text of pieces: control tokens are silent, bytes make characters, and
// the mark that was put before the text goes.
// Source: sentencepiece's processor, whose texts these are.

struct SentencePieceDecoder: Sendable, Equatable {
  var control: Set<Int32> = []
  var unknown: Int32?
  /// What an unknown piece is shown as.
  var unknownText = Array(" \u{2047} ".utf8)
  /// Which bytes the byte pieces stand for.
  var byteValues: [Int32: UInt8] = [:]
  var addsPrefix = true
  var removesExtraSpaces = true

  private static let mark = SentencePieceNormalizer.mark

  func bytes(of token: DecodedToken) -> [UInt8] {
    if let byte = byteValues[token.id] { return [byte] }
    if control.contains(token.id) { return token.text }
    if token.id == unknown { return unknownText }
    return Decoder.replace(Self.mark, by: [0x20], in: token.text)
  }

  /// What was seen of a text so far.
  struct State: Sendable {
    private let rules: SentencePieceDecoder
    private var bytes: [UInt8] = []
    private var isEmpty = true
    private var expectsMark = true
    private var tookMark = false

    init(_ rules: SentencePieceDecoder) { self.rules = rules }

    mutating func push(_ token: DecodedToken) -> [UInt8] {
      if let byte = rules.byteValues[token.id] {
        bytes.append(byte)
        return []
      }
      let before = takeBytes()
      if tookMark || !isEmpty { expectsMark = false }
      let text = text(of: token)
      if !text.isEmpty { isEmpty = false }
      return before + text
    }

    private mutating func text(of token: DecodedToken) -> [UInt8] {
      tookMark = false
      if rules.control.contains(token.id) { return [] }
      if token.id == rules.unknown { return rules.unknownText }
      var piece = token.text
      if expectsMark, rules.addsPrefix || rules.removesExtraSpaces,
        piece.starts(with: SentencePieceDecoder.mark)
      {
        piece.removeFirst(SentencePieceDecoder.mark.count)
        // Where spaces are removed, all before the first word go.
        tookMark = !rules.removesExtraSpaces
      }
      return Decoder.replace(SentencePieceDecoder.mark, by: [0x20], in: piece)
    }

    /// The run of bytes before, each that belongs to no character as U+FFFD.
    mutating func takeBytes() -> [UInt8] {
      guard !bytes.isEmpty else { return [] }
      defer { bytes = [] }
      isEmpty = false
      var result: [UInt8] = []
      var index = 0
      while index < bytes.count {
        let end = min(index + DecodedScalar.length(bytes[index]), bytes.count)
        if String(validating: bytes[index..<end], as: UTF8.self) != nil {
          result.append(contentsOf: bytes[index..<end])
          index = end
        } else {
          result.append(contentsOf: "\u{FFFD}".utf8)
          index += 1
        }
      }
      return result
    }
  }
}
