// Decoding token by token: every step hands on what cannot change any more, so that texts decoded
// as they come equal those decoded at once.

struct DecodingChain: Sendable {
  private var steps: [DecodingStep]

  init(_ decoder: Decoder) {
    var parts = decoder.steps
    // What is joined at the end of all needs no joining, and what is taken from the beginning of a
    // joined text can be taken as it comes.
    var isJoined = false
    if case .strip(_, _, 0)? = parts.last, parts.dropLast().last == .fuse {
      parts.remove(at: parts.count - 2)
      isJoined = true
    } else if parts.last == .fuse {
      parts.removeLast()
    }
    steps = parts.map { DecodingStep($0) }
    if isJoined { steps[steps.count - 1].isJoined = true }
  }

  /// Appends what a token lets be said to `output`.
  mutating func push(_ token: DecodedToken, into output: inout [UInt8]) {
    push(token, from: 0, into: &output)
  }

  /// Appends what is left when no more tokens come.
  mutating func finish(into output: inout [UInt8]) {
    for index in steps.indices {
      for text in steps[index].finish() {
        push(DecodedToken(id: -1, text: text, isAdded: false), from: index + 1, into: &output)
      }
    }
  }

  private mutating func push(
    _ token: DecodedToken, from first: Int, into output: inout [UInt8]
  ) {
    guard first < steps.count else {
      output.append(contentsOf: token.text)
      return
    }
    for text in steps[first].push(token) {
      var next = token
      next.text = text
      push(next, from: first + 1, into: &output)
    }
  }
}

/// One step of a chain and what it waits for.
private struct DecodingStep: Sendable {
  private let decoder: Decoder
  /// The texts before this are one.
  var isJoined = false
  private var count = 0
  private var held: [UInt8] = []
  private var isHolding = false
  private var stripped = 0
  private var pieces: SentencePieceDecoder.State

  init(_ decoder: Decoder) {
    self.decoder = decoder
    if case .sentencePiece(let rules) = decoder {
      pieces = SentencePieceDecoder.State(rules)
    } else {
      pieces = SentencePieceDecoder.State(SentencePieceDecoder())
    }
  }

  /// What a text becomes: no text, one, or several.
  mutating func push(_ token: DecodedToken) -> [[UInt8]] {
    let text = token.text
    defer { count += 1 }
    switch decoder {
    case .sequence: return [text]
    case .byteLevel: return [token.isAdded ? text : ByteAlphabet.bytes(of: text[...]) ?? text]
    case .byteFallback:
      guard let byte = Decoder.fallbackByte(text) else { return takeBytes() + [text] }
      held.append(byte)
      return []
    case .fuse:
      held.append(contentsOf: text)
      return []
    case .metaspace(let rules):
      let space: [UInt8] = count == 0 && rules.prefix != .never ? [] : [0x20]
      return [Decoder.replace(rules.mark, by: space, in: text)]
    case .replace(let pattern, let content):
      return [Decoder.replace(pattern, by: content, in: text)]
    case .strip(let content, let start, let stop):
      return isJoined ? [stripStart(text, content, start)] : [Self.strip(text, content, start, stop)]
    case .wordPiece(let prefix, let cleansUp):
      var new = text
      if count > 0 {
        new = text.starts(with: prefix) ? Array(text.dropFirst(prefix.count)) : [0x20] + text
      }
      return [cleansUp ? WordPieceCleanup.apply(new) : new]
    case .bpe(let suffix):
      defer { (held, isHolding) = (text, true) }
      return isHolding ? [Decoder.replace(suffix, by: [0x20], in: held)] : []
    case .ctc(let pad, let delimiter, let cleansUp):
      defer { held = text }
      if count > 0, held == text { return [] }
      var new = Decoder.replace(pad, by: [], in: text)
      if cleansUp { new = Decoder.replace(delimiter, by: [0x20], in: WordPieceCleanup.apply(new)) }
      return new.isEmpty ? [] : [new]
    case .spaced: return [count == 0 ? text : [0x20] + text]
    case .sentencePiece: return [pieces.push(token)]
    }
  }

  mutating func finish() -> [[UInt8]] {
    switch decoder {
    case .byteFallback: return takeBytes()
    case .fuse: return [held]
    case .bpe(let suffix): return isHolding ? [Decoder.replace(suffix, by: [], in: held)] : []
    case .sentencePiece: return [pieces.takeBytes()]
    default: return []
    }
  }

  /// The run of bytes before: a text, or a sign for each that makes none.
  private mutating func takeBytes() -> [[UInt8]] {
    guard !held.isEmpty else { return [] }
    defer { held = [] }
    if String(validating: held, as: UTF8.self) != nil { return [held] }
    return held.map { _ in Array("\u{FFFD}".utf8) }
  }

  /// Takes from the beginning of all texts together.
  private mutating func stripStart(_ text: [UInt8], _ content: [UInt8], _ limit: Int) -> [UInt8] {
    var rest = text[...]
    while stripped < limit, !rest.isEmpty {
      if rest.starts(with: content) {
        rest = rest.dropFirst(content.count)
        stripped += 1
      } else {
        stripped = limit
      }
    }
    return Array(rest)
  }

  private static func strip(
    _ text: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int
  ) -> [UInt8] {
    var rest = text[...]
    for _ in 0..<start where rest.starts(with: content) { rest = rest.dropFirst(content.count) }
    for _ in 0..<stop where rest.count >= content.count {
      guard rest.suffix(content.count).elementsEqual(content) else { break }
      rest = rest.dropLast(content.count)
    }
    return Array(rest)
  }
}
