// A tokenizer from a Hugging Face folder: tokenizer.json decides the ids, the files beside it name
// the control tokens and the chat template. Unknown parts are refused, never guessed.
import QLoRADiagnostics
import QLoRAJSON

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Tokenizer {
  /// Loads `tokenizer.json` and, where present, `tokenizer_config.json`,
  /// `special_tokens_map.json` and `chat_template.jinja` from a folder.
  ///
  /// - Throws: `Diagnostic` E0301 (missing), E0302 (malformed), E0303 (unsupported), E0304.
  package static func load(folder: String) throws -> Tokenizer {
    let root = folder.hasSuffix("/") ? String(folder.dropLast()) : folder
    let path = root + "/tokenizer.json"
    guard let json = try TokenizerFile.json(path) else {
      throw Diagnostic(
        .tokenizerMissing, "no tokenizer.json in the model's folder", at: .file(path),
        remedy: "save the tokenizer there with transformers' AutoTokenizer.save_pretrained")
    }
    var reader = TokenizerJSONReader(json: json, path: path)
    var parts = try reader.read()
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
      guard let config = try TokenizerFile.json(root + "/" + name) else { continue }
      parts.bos = parts.bos ?? TokenizerFile.tokenText(config["bos_token"])
      parts.eos = parts.eos ?? TokenizerFile.tokenText(config["eos_token"])
      parts.pad = parts.pad ?? TokenizerFile.tokenText(config["pad_token"])
      parts.chatTemplate = parts.chatTemplate ?? TokenizerFile.template(config["chat_template"])
    }
    if let bytes = try TokenizerFile.bytes(root + "/chat_template.jinja") {
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw Diagnostic(
          .tokenizerMalformed, "the chat template is not UTF-8",
          at: .file(root + "/chat_template.jinja"))
      }
      parts.chatTemplate = text
    }
    return try Tokenizer(parts)
  }
}

/// The files of a tokenizer folder.
enum TokenizerFile {
  /// The bytes of a file; nil where it does not exist.
  static func bytes(_ path: String) throws -> [UInt8]? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    do {
      return Array(try Data(contentsOf: URL(filePath: path)))
    } catch {
      throw Diagnostic(.tokenizerMissing, "the file cannot be read: \(error)", at: .file(path))
    }
  }

  static func json(_ path: String) throws -> JSONValue? {
    guard let bytes = try bytes(path) else { return nil }
    // Keys of a vocabulary may be canonically equivalent yet different tokens.
    let options = JSONReadOptions(rejectsDuplicateKeys: false)
    do {
      return try JSONValue(parsing: bytes, options: options)
    } catch {
      throw Diagnostic(
        .tokenizerMalformed, error.message,
        at: .position(file: path, line: error.position.line, column: error.position.column),
        remedy: "fetch the file again")
    }
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
