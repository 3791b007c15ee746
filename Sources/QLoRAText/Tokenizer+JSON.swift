// A tokenizer from a Hugging Face folder: tokenizer.json decides the ids, the files beside it name
// the control tokens and the chat template. Unknown parts are refused, never guessed.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

extension Tokenizer {
  /// Four times the largest tokenizer.json of a known model.
  package static let maximumFileBytes = 1 << 27
  /// Twice those of a vocabulary of 262,144 tokens with twice as many merges.
  static let maximumFileValues = 1 << 22

  /// Loads `tokenizer.json` and, where present, `tokenizer_config.json`,
  /// `special_tokens_map.json` and `chat_template.jinja` from a folder.
  ///
  /// - Throws: `Diagnostic` E0301 (missing), E0302 (malformed), E0303 (unsupported), E0304.
  package static func load(folder: String) throws -> Tokenizer {
    try Tokenizer(TokenizerParts(folder: folder))
  }
}

extension TokenizerParts {
  /// - Throws: as `Tokenizer.load(folder:)`.
  init(folder: String) throws {
    let path = FilePath.join(folder, "tokenizer.json")
    guard let json = try TokenizerFile.json("tokenizer.json", in: folder) else {
      throw Diagnostic(
        .tokenizerMissing, "no tokenizer.json in the model's folder", at: .file(path),
        remedy: "save the tokenizer there with transformers' AutoTokenizer.save_pretrained")
    }
    var reader = TokenizerJSONReader(json: json, path: path)
    var parts = try reader.read()
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
      guard let config = try TokenizerFile.json(name, in: folder) else { continue }
      parts.bos = parts.bos ?? TokenizerFile.tokenText(config["bos_token"])
      parts.eos = parts.eos ?? TokenizerFile.tokenText(config["eos_token"])
      parts.pad = parts.pad ?? TokenizerFile.tokenText(config["pad_token"])
      parts.chatTemplate = parts.chatTemplate ?? TokenizerFile.template(config["chat_template"])
    }
    if let file = try InputFile.openIfPresent("chat_template.jinja", in: folder) {
      let bytes = try file.wholeBytes(limit: Tokenizer.maximumFileBytes)
      try file.checkIsNoPointer(bytes)
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw Diagnostic(
          .tokenizerMalformed, "the chat template is not UTF-8", at: .file(file.path))
      }
      parts.chatTemplate = text
    }
    self = parts
  }
}

/// The files of a tokenizer folder.
enum TokenizerFile {
  /// nil where the folder has no such file.
  static func json(_ name: String, in folder: String) throws(Diagnostic) -> JSONValue? {
    guard let file = try InputFile.openIfPresent(name, in: folder) else { return nil }
    // Keys of a vocabulary may be canonically equivalent yet different tokens.
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
