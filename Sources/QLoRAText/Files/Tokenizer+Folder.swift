// A tokenizer from a Hugging Face folder: tokenizer.json or tokenizer.model decides the ids, the
// files beside it name the control tokens and the chat template. Unknown parts are refused, never
// guessed.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

extension Tokenizer {
  /// Four times the largest tokenizer.json of a known model.
  package static let maximumFileBytes = 1 << 27
  /// Tokens, merges, or values elsewhere: far above those of any known model.
  static let maximumFileValues = 1 << 22

  /// Loads `tokenizer.json`, or else `tokenizer.model`, and, where present,
  /// `tokenizer_config.json`, `special_tokens_map.json` and `chat_template.jinja` from a folder.
  ///
  /// - Throws: `Diagnostic` E0301 (missing), E0302 (malformed), E0303 (unsupported), E0304.
  package static func load(folder: String) throws -> Tokenizer {
    try Tokenizer(TokenizerParts(folder: folder))
  }
}

extension TokenizerParts {
  /// - Throws: as `Tokenizer.load(folder:)`.
  init(folder: String) throws {
    let configs = try ["tokenizer_config.json", "special_tokens_map.json"].compactMap {
      try TokenizerFile.json($0, in: folder)
    }
    var parts = try Self.model(in: folder, config: configs.first)
    for config in configs {
      parts.bos = parts.bos ?? TokenizerFile.tokenText(config["bos_token"])
      parts.eos = parts.eos ?? TokenizerFile.tokenText(config["eos_token"])
      parts.pad = parts.pad ?? TokenizerFile.tokenText(config["pad_token"])
      parts.chatTemplate = parts.chatTemplate ?? TokenizerFile.template(config["chat_template"])
    }
    if let (bytes, path) = try TokenizerFile.bytes("chat_template.jinja", in: folder) {
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw Diagnostic(
          .tokenizerMalformed, "the chat template is not UTF-8", at: .file(path))
      }
      parts.chatTemplate = text
    }
    self = parts
  }

  private static func model(in folder: String, config: JSONValue?) throws -> TokenizerParts {
    if let (bytes, path) = try TokenizerFile.bytes(
      "tokenizer.json", in: folder, tooLarge: .tokenizerMalformed)
    {
      return try TokenizerJSONReader(bytes: bytes, path: path).read()
    }
    // T5 calls its file otherwise.
    for name in ["tokenizer.model", "spiece.model"] {
      if let (bytes, path) = try TokenizerFile.bytes(name, in: folder) {
        return try TokenizerParts(sentencePiece: bytes, path: path, config: config)
      }
    }
    throw Diagnostic(
      .tokenizerMissing, "neither tokenizer.json nor tokenizer.model in the model's folder",
      at: .file(FilePath.join(folder, "tokenizer.json")),
      remedy: "save the tokenizer there with transformers' AutoTokenizer.save_pretrained")
  }
}

/// The files of a tokenizer folder.
enum TokenizerFile {
  /// nil where the folder has no such file.
  /// - Parameter tooLarge: what a file beyond the limit is called.
  static func bytes(
    _ name: String, in folder: String, tooLarge: DiagnosticCode = .fileTooLarge
  ) throws(Diagnostic) -> (bytes: [UInt8], path: String)? {
    guard let file = try InputFile.openIfPresent(name, in: folder) else { return nil }
    guard file.byteCount <= Tokenizer.maximumFileBytes else {
      throw Diagnostic(
        tooLarge,
        "\(file.byteCount) bytes, the limit is \(Tokenizer.maximumFileBytes)", at: .file(file.path))
    }
    let bytes = try file.wholeBytes(limit: Tokenizer.maximumFileBytes)
    try file.checkIsNoPointer(bytes)
    return (bytes, file.path)
  }

  /// nil where the folder has no such file.
  static func json(_ name: String, in folder: String) throws(Diagnostic) -> JSONValue? {
    guard let file = try InputFile.openIfPresent(name, in: folder) else { return nil }
    // Keys may be canonically equivalent yet different.
    return try JSONValue.read(
      file, limit: Tokenizer.maximumFileBytes, code: .tokenizerMalformed,
      options: JSONReadOptions(
        rejectsDuplicateKeys: false, maximumValues: Tokenizer.maximumFileValues))
  }

  /// A token written as its text or as an object with `content`.
  static func tokenText(_ value: JSONValue?) -> String? {
    value?.stringValue ?? value?["content"]?.stringValue
  }

  /// A template, or the one named `default` of a list of named templates.
  static func template(_ value: JSONValue?) -> String? {
    if let text = value?.stringValue { return text }
    let named = value?.arrayValue?.first { $0["name"]?.stringValue == "default" }
    return named?["template"]?.stringValue
  }
}
