// A tokenizer of CLIP from vocab.json and merges.txt, as published folders of image models have it:
// the two files as the tokenizer.json that transformers makes of them.
// Source: Radford et al. 2021, arXiv:2103.00020, section 2.4; the class CLIPTokenizer of
// transformers for what stands round the vocabulary.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

extension Tokenizer {
  /// Loads tokenizer.json, or else a SentencePiece file, or else CLIP's two files.
  ///
  /// - Throws: as `load(folder:)`.
  package static func loadForImages(folder: String) throws -> Tokenizer {
    let own = ["tokenizer.json", "tokenizer.model", "spiece.model"]
    let isOther = try own.contains { try InputFile.openIfPresent($0, in: folder) != nil }
    guard !isOther, try InputFile.openIfPresent("vocab.json", in: folder) != nil else {
      return try load(folder: folder)
    }
    return try Tokenizer(try CLIPVocabulary(folder: folder).parts())
  }
}

struct CLIPVocabulary {
  private static let start = "<|startoftext|>"
  private static let end = "<|endoftext|>"
  /// Words, single digits, and runs of anything else.
  private static let words =
    #"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"#

  private let path: String
  private let vocabulary: JSONValue
  private let merges: [String]
  private let configs: [JSONValue]

  /// - Throws: `tokenizerMissing` without merges.txt, `tokenizerMalformed`.
  init(folder: String) throws {
    path = FilePath.join(folder, "vocab.json")
    guard let vocabulary = try TokenizerFile.json("vocab.json", in: folder),
      vocabulary.objectMembers != nil
    else {
      throw Diagnostic(
        .tokenizerMalformed, "expected one object with a number for each token", at: .file(path))
    }
    self.vocabulary = vocabulary
    guard let (bytes, file) = try TokenizerFile.bytes("merges.txt", in: folder) else {
      throw Diagnostic(
        .tokenizerMissing, "vocab.json has no merges.txt beside it",
        at: .file(FilePath.join(folder, "merges.txt")), remedy: "fetch the folder again")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Diagnostic(.tokenizerMalformed, "the merges are not UTF-8", at: .file(file))
    }
    // A carriage return before the end of a line makes one character with it.
    merges = text.unicodeScalars.split(separator: "\n").map { String($0) }
      .map { $0.hasSuffix("\r") ? String($0.unicodeScalars.dropLast()) : $0 }
      .filter { !$0.hasPrefix("#version") && !$0.isEmpty }
    configs = try ["tokenizer_config.json", "special_tokens_map.json"].compactMap {
      try TokenizerFile.json($0, in: folder)
    }
  }

  /// - Throws: `tokenizerMalformed`, naming the merge or the token at fault.
  func parts() throws -> TokenizerParts {
    let start = named("bos_token") ?? Self.start
    let end = named("eos_token") ?? Self.end
    let unknown = named("unk_token") ?? Self.end
    let pad = named("pad_token") ?? Self.end
    let file = JSONValue.dictionary([
      ("added_tokens", .list(try addedTokens([start, end, unknown, pad]))),
      (
        "normalizer",
        .dictionary([
          ("type", .string("Sequence")),
          (
            "normalizers",
            .list([
              .dictionary([("type", .string("NFC"))]),
              .dictionary([
                ("type", .string("Replace")),
                ("pattern", .dictionary([("Regex", .string(#"\s+"#))])),
                ("content", .string(" ")),
              ]),
              .dictionary([("type", .string("Lowercase"))]),
            ])
          ),
        ])
      ),
      ("pre_tokenizer", preTokenizer),
      (
        "post_processor",
        .dictionary([
          ("type", .string("RobertaProcessing")),
          ("sep", .list([.string(end), .int(try id(end))])),
          ("cls", .list([.string(start), .int(try id(start))])),
          ("trim_offsets", .bool(false)), ("add_prefix_space", .bool(false)),
        ])
      ),
      (
        "model",
        .dictionary([
          ("type", .string("BPE")), ("unk_token", .string(unknown)),
          ("continuing_subword_prefix", .string("")), ("end_of_word_suffix", .string("</w>")),
          ("vocab", vocabulary), ("merges", .list(merges.map { .string($0) })),
        ])
      ),
      ("decoder", byteLevel),
    ])
    var parts = try TokenizerJSONReader(
      bytes: Array(JSONWriter.text(file).utf8), path: path
    ).read()
    (parts.bos, parts.eos, parts.pad) = (start, end, pad)
    return parts
  }

  private var byteLevel: JSONValue {
    .dictionary([
      ("type", .string("ByteLevel")), ("add_prefix_space", .bool(false)),
      ("trim_offsets", .bool(true)), ("use_regex", .bool(true)),
    ])
  }

  private var preTokenizer: JSONValue {
    .dictionary([
      ("type", .string("Sequence")),
      (
        "pretokenizers",
        .list([
          .dictionary([
            ("type", .string("Split")),
            ("pattern", .dictionary([("Regex", .string(Self.words))])),
            ("behavior", .string("Removed")), ("invert", .bool(true)),
          ]), byteLevel,
        ])
      ),
    ])
  }

  /// The text of a control token as the first file that names it has it.
  private func named(_ role: String) -> String? {
    configs.lazy.compactMap { TokenizerFile.tokenText($0[role]) }.first
  }

  private func id(_ token: String) throws -> Int {
    guard let id = vocabulary[token]?.intValue else {
      throw Diagnostic(
        .controlTokenMissing, "\"\(token)\" is not in the vocabulary", at: .file(path),
        remedy: "take the files of the folder from one model")
    }
    return id
  }

  /// What is looked for before words are cut: the list of tokenizer_config.json, and the control
  /// tokens.
  private func addedTokens(_ control: [String]) throws -> [JSONValue] {
    var tokens: [JSONValue] = []
    var known: Set<String> = []
    for config in configs {
      for member in config["added_tokens_decoder"]?.objectMembers ?? [] {
        guard let id = Int(member.key), let text = member.value["content"]?.stringValue,
          known.insert(text).inserted
        else { continue }
        tokens.append(added(id, text, member.value))
      }
    }
    for text in control where known.insert(text).inserted {
      let described = configs.lazy.compactMap { config in
        ["bos_token", "eos_token", "unk_token", "pad_token"].lazy.compactMap { config[$0] }
          .first { $0["content"]?.stringValue == text }
      }.first
      tokens.append(added(try id(text), text, described ?? .null))
    }
    return tokens
  }

  private func added(_ id: Int, _ text: String, _ described: JSONValue) -> JSONValue {
    func flag(_ name: String, _ usual: Bool) -> (String, JSONValue) {
      (name, .bool(described[name]?.boolValue ?? usual))
    }
    return .dictionary([
      ("id", .int(id)), ("content", .string(text)), flag("single_word", false),
      flag("lstrip", false), flag("rstrip", false), flag("normalized", false),
      flag("special", true),
    ])
  }
}
