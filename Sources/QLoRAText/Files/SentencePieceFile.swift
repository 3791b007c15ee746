// tokenizer.model: a SentencePiece model, a protobuf message. Fields that decide nothing here, such
// as how it was trained, are passed over.
// Source: sentencepiece_model.proto.
import QLoRADiagnostics
import QLoRAJSON

struct SentencePieceFile {
  private(set) var vocabulary = Vocabulary()
  private(set) var scores: [Float] = []
  private(set) var kinds: [SentencePieceTable.Kind] = []
  private var algorithm = 1
  private var fallsBackToBytes = false
  private var unknownText: [UInt8]?
  private var normalizer = SentencePieceNormalizer()
  private var hasDenormalizer = false
  private let path: String

  /// - Throws: `Diagnostic` E0302.
  init(_ bytes: [UInt8], path: String) throws {
    self.path = path
    do {
      try read(bytes)
    } catch let ProtobufReader.Failure.broken(offset) {
      throw Diagnostic(
        .tokenizerMalformed, "this is no SentencePiece model: a field is broken",
        at: .byteOffset(file: path, offset: offset), remedy: "fetch the file again")
    }
  }

  private func malformed(_ message: String) -> Diagnostic {
    Diagnostic(.tokenizerMalformed, message, at: .file(path), remedy: "fetch the file again")
  }

  private mutating func read(_ bytes: [UInt8]) throws {
    var reader = ProtobufReader(bytes, 0..<bytes.count)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (1, .bytes(let range)): try readPiece(bytes, range)
      case (2, .bytes(let range)): try readTraining(bytes, range)
      case (3, .bytes(let range)): try readNormalizer(bytes, range)
      case (5, .bytes(let range)): hasDenormalizer = !range.isEmpty && hasMap(bytes, range)
      default: break
      }
    }
    guard vocabulary.isUTF8 else { throw malformed("a piece is not UTF-8") }
  }

  private mutating func readPiece(_ bytes: [UInt8], _ range: Range<Int>) throws {
    var reader = ProtobufReader(bytes, range)
    var (text, score, kind) = (0..<0, Float(0), SentencePieceTable.Kind.normal)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (1, .bytes(let range)): text = range
      case (2, .word(let bits)): score = Float(bitPattern: bits)
      case (3, .number(let number)):
        guard let known = SentencePieceTable.Kind(rawValue: Int32(clamping: number)) else {
          throw malformed("the piece \(scores.count) is of the unknown kind \(number)")
        }
        kind = known
      default: break
      }
    }
    guard !text.isEmpty, scores.count < Tokenizer.maximumFileValues, score.isFinite else {
      throw malformed("the piece \(scores.count) has no text, or no number for its score")
    }
    vocabulary.insert(bytes, text, scores.count)
    scores.append(score)
    kinds.append(kind)
  }

  private mutating func readTraining(_ bytes: [UInt8], _ range: Range<Int>) throws {
    var reader = ProtobufReader(bytes, range)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (3, .number(let number)): algorithm = Int(clamping: number)
      case (24, .number(let number)): normalizer.marksEnd = number != 0
      case (35, .number(let number)): fallsBackToBytes = number != 0
      case (44, .bytes(let range)): unknownText = Array(bytes[range])
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ bytes: [UInt8], _ range: Range<Int>) throws {
    var reader = ProtobufReader(bytes, range)
    while let (field, value) = try reader.next() {
      switch (field, value) {
      case (2, .bytes(let range)) where !range.isEmpty:
        guard let map = CharacterMap(Array(bytes[range])) else {
          throw malformed("its map of characters is broken")
        }
        normalizer.map = map
      case (3, .number(let number)): normalizer.addsPrefix = number != 0
      case (4, .number(let number)): normalizer.removesExtraSpaces = number != 0
      case (5, .number(let number)): normalizer.escapesSpaces = number != 0
      default: break
      }
    }
  }

  private func hasMap(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    var reader = ProtobufReader(bytes, range)
    while let (field, value) = try? reader.next() {
      if case (2, .bytes(let map)) = (field, value), !map.isEmpty { return true }
    }
    return false
  }

  /// - Throws: `Diagnostic` E0302 or E0303.
  func parts() throws -> TokenizerParts {
    guard let unknown = kinds.firstIndex(of: .unknown) else {
      throw malformed("no piece stands for the unknown")
    }
    guard algorithm == 1 || algorithm == 2 else {
      throw Diagnostic(
        .tokenizerUnsupported,
        "the model is of kind \(algorithm); supported are 1 (unigram) and 2 (byte pairs)",
        at: .file(path))
    }
    guard !hasDenormalizer else {
      throw Diagnostic(
        .tokenizerUnsupported, "the model maps characters when it makes text of pieces",
        at: .file(path))
    }
    let table = SentencePieceTable(
      scores: scores, kinds: kinds, algorithm: algorithm == 1 ? .unigram : .bytePairs,
      unknown: Int32(unknown), fallsBackToBytes: fallsBackToBytes)
    var parts = TokenizerParts(
      source: path, vocabulary: vocabulary, model: .sentencePiece(table))
    var normalizer = normalizer
    normalizer.protected = table.protected(vocabulary)
    parts.normalizer = .sentencePiece(normalizer)
    var decoder = table.decoder(vocabulary)
    if let unknownText { decoder.unknownText = unknownText }
    decoder.addsPrefix = normalizer.addsPrefix
    decoder.removesExtraSpaces = normalizer.removesExtraSpaces
    parts.decoder = .sentencePiece(decoder)
    parts.added = (table.ids(.control) + [Int32(unknown)]).sorted().map {
      AddedToken(id: $0, text: vocabulary.text(of: $0), isSpecial: true)
    }
    return parts
  }
}

extension TokenizerParts {
  /// - Parameter config: `tokenizer_config.json`, which says what goes round a text.
  /// - Throws: `Diagnostic` E0302 or E0303.
  init(sentencePiece bytes: [UInt8], path: String, config: JSONValue?) throws {
    self = try SentencePieceFile(bytes, path: path).parts()
    if config?["legacy"]?.boolValue == false, case .sentencePiece(var rules)? = normalizer {
      rules.prefixesStartOnly = true
      normalizer = .sentencePiece(rules)
    }
    let names = ["bos_token": "<s>", "eos_token": "</s>"]
    let parts = self
    func id(_ name: String) -> Int32? {
      parts.id(of: TokenizerFile.tokenText(config?[name]) ?? names[name] ?? "")
    }
    bos = id("bos_token").map(parts.text)
    eos = id("eos_token").map(parts.text)
    // As transformers' classes for Llama and Gemma do where the file is silent.
    if config?["add_bos_token"]?.boolValue ?? true, let bos = id("bos_token") { prefixIDs = [bos] }
    if config?["add_eos_token"]?.boolValue ?? false, let eos = id("eos_token") { suffixIDs = [eos] }
  }
}
