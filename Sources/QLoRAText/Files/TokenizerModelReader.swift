// The model of tokenizer.json: its vocabulary, its merges or scores, and its settings.
import QLoRADiagnostics
import QLoRAJSON

struct TokenizerModelReader {
  let file: TokenizerFileFacts
  private var settings: [String: JSONValue] = [:]
  private(set) var vocabulary = Vocabulary()
  /// Scores by id, of a vocabulary that is a list.
  private var scores: [Double]?
  private var hasVocabulary = false
  private var merges: MergeList?
  private var mergesPlace: JSONPullReader.Bookmark?

  init(path: String) { file = TokenizerFileFacts(path: path) }

  /// Reads the object that comes next.
  mutating func read(_ reader: inout JSONPullReader) throws {
    try reader.enterObject()
    while let key = try reader.nextKey() {
      switch key {
      case "vocab": try readVocabulary(&reader)
      case "merges":
        mergesPlace = reader.bookmark
        // Merges name tokens by their texts, so they wait for the vocabulary and the prefix.
        if hasVocabulary { merges = try readMerges(&reader) } else { try reader.skip() }
      default: settings[key] = try reader.value()
      }
    }
    let isPrefixLate = merges != nil && prefix != prefixOfMerges
    if let place = mergesPlace, merges == nil || isPrefixLate, hasVocabulary {
      let end = reader.bookmark
      reader.bookmark = place
      merges = try readMerges(&reader)
      reader.bookmark = end
    }
  }

  var prefix: [UInt8] {
    Array((settings["continuing_subword_prefix"]?.stringValue ?? "").utf8)
  }
  /// The prefix that the merges were read with.
  private var prefixOfMerges: [UInt8] = []

  private mutating func readMerges(_ reader: inout JSONPullReader) throws -> MergeList {
    prefixOfMerges = prefix
    var merges = MergeReader(file: file, vocabulary: vocabulary, prefix: prefix)
    return try merges.read(&reader)
  }

  private mutating func readVocabulary(_ reader: inout JSONPullReader) throws {
    hasVocabulary = true
    // With its merges a token takes about eighty bytes of a file, and eight of them are its text.
    let byteCount = reader.bytes.count
    vocabulary.reserve(
      tokens: min(byteCount / 80, 1 << 18), bytes: min(byteCount / 10, 1 << 21))
    if reader.isAtArray { return try readScores(&reader) }
    guard reader.isAtObject else {
      throw file.malformed("model.vocab must hold tokens", reader.position)
    }
    try reader.enterObject()
    var text: [UInt8] = []
    var entries = PlainEntries()
    while true {
      reader.takePlainMembers(&entries, below: Tokenizer.maximumFileValues)
      vocabulary.insert(reader.bytes, entries.texts, entries.numbers)
      if !entries.texts.isEmpty { continue }
      text.removeAll(keepingCapacity: true)
      guard try reader.nextKey(into: &text) else { break }
      let place = reader.position
      guard let id = try reader.naturalNumber(), id < Tokenizer.maximumFileValues else {
        throw file.malformed(
          "the token \"\(String(decoding: text, as: UTF8.self))\" has an id that is no number in "
            + "range", place)
      }
      vocabulary.insert(text, id)
    }
    // Vocabularies may have gaps, but none as wide as themselves.
    guard vocabulary.count <= 2 * vocabulary.tokenCount + 1024 else {
      throw file.malformed("model.vocab has ids far beyond the number of its tokens")
    }
    guard vocabulary.isUTF8 else { throw file.malformed("a token of model.vocab is not UTF-8") }
  }

  private mutating func readScores(_ reader: inout JSONPullReader) throws {
    var scores: [Double] = []
    var text: [UInt8] = []
    try reader.enterArray()
    while try reader.nextElement() {
      let place = reader.position
      text.removeAll(keepingCapacity: true)
      try reader.enterArray()
      guard try reader.nextElement() else {
        throw file.malformed("an entry of model.vocab is no pair", place)
      }
      try reader.string(into: &text)
      guard try reader.nextElement(), let score = try reader.value().doubleValue, score.isFinite,
        try !reader.nextElement(), scores.count < Tokenizer.maximumFileValues
      else { throw file.malformed("an entry of model.vocab is no text with a score", place) }
      vocabulary.insert(text, scores.count)
      scores.append(score)
    }
    guard vocabulary.isUTF8 else { throw file.malformed("a token of model.vocab is not UTF-8") }
    self.scores = scores
  }

  /// The vocabulary, and how it makes tokens.
  func parts() throws -> (Vocabulary, ModelParts) {
    guard hasVocabulary else { throw file.malformed("the key \"model.vocab\" is missing") }
    return (vocabulary, try model())
  }

  private func model() throws -> ModelParts {
    let type = settings["type"]?.stringValue ?? impliedType
    let isList = scores != nil
    switch type {
    case "BPE" where !isList: return try bytePairs()
    case "Unigram" where isList: return try unigram()
    case "WordPiece" where !isList: return try wordPiece()
    case "WordLevel" where !isList: return .wordLevel(unknown: try unknown(isNeeded: false))
    case "BPE", "Unigram", "WordPiece", "WordLevel":
      throw file.unsupported(
        "model.type", type, "lists of tokens with scores for Unigram, tokens with ids for others")
    default:
      throw file.unsupported("model.type", type, "BPE, Unigram, WordPiece, WordLevel")
    }
  }

  /// Old files do not say what they are.
  private var impliedType: String {
    if scores != nil { return "Unigram" }
    if mergesPlace != nil { return "BPE" }
    return settings["max_input_chars_per_word"] != nil ? "WordPiece" : "WordLevel"
  }

  private func unknown(isNeeded: Bool) throws -> Int32? {
    guard let text = settings["unk_token"]?.stringValue else {
      if isNeeded { throw file.malformed("model.unk_token is missing") }
      return nil
    }
    if let id = vocabulary.id(of: text) { return id }
    if isNeeded { throw file.malformed("model.unk_token \"\(text)\" is no token") }
    return nil
  }

  private func flag(_ name: String) throws -> Bool {
    try file.flag(.object(settings.map { JSONMember($0.key, $0.value) }), name, "model",
      default: false)
  }

  private func bytePairs() throws -> ModelParts {
    guard let merges else { throw file.malformed("model.merges must be an array") }
    var spelling = BytePairModel.Spelling()
    spelling.prefix = prefix
    spelling.suffix = Array((settings["end_of_word_suffix"]?.stringValue ?? "").utf8)
    spelling.fallsBackToBytes = try flag("byte_fallback")
    spelling.fusesUnknown = try flag("fuse_unk")
    spelling.ignoresMerges = try flag("ignore_merges")
    spelling.unknown = try unknown(isNeeded: false)
    return .bytePairs(merges, spelling)
  }

  private func unigram() throws -> ModelParts {
    let unknown = settings["unk_id"]?.intValue.flatMap { Int32(exactly: $0) }
    if let unknown, !vocabulary.contains(unknown) {
      throw file.malformed("model.unk_id is \(unknown), outside the vocabulary")
    }
    return .unigram(
      scores: scores ?? [], unknown: unknown, fallsBackToBytes: try flag("byte_fallback"))
  }

  private func wordPiece() throws -> ModelParts {
    let prefix = settings["continuing_subword_prefix"]?.stringValue ?? "##"
    guard let unknown = try unknown(isNeeded: true) else {
      throw file.malformed("model.unk_token is missing")
    }
    return .wordPiece(
      prefix: Array(prefix.utf8), unknown: unknown,
      longestWord: settings["max_input_chars_per_word"]?.intValue ?? 100)
  }
}
