// Takes tokenizer.json apart into what a tokenizer is built from. The vocabulary goes from the bytes
// of the file into tables; only the small rest becomes a tree of values.
import QLoRADiagnostics
import QLoRAJSON

struct TokenizerJSONReader {
  let path: String
  private let bytes: [UInt8]

  init(bytes: [UInt8], path: String) {
    self.bytes = bytes
    self.path = path
  }

  /// - Throws: `Diagnostic` E0302 or E0303, naming the key.
  func read() throws -> TokenizerParts {
    do {
      return try parts()
    } catch let error as JSONError {
      throw Diagnostic(
        .tokenizerMalformed, "not valid JSON: \(error.message)",
        at: .position(file: path, line: error.position.line, column: error.position.column))
    }
  }

  private func parts() throws -> TokenizerParts {
    let options = JSONReadOptions(
      rejectsDuplicateKeys: false, maximumValues: Tokenizer.maximumFileValues)
    var reader = try JSONPullReader(bytes: bytes, options: options)
    var model: TokenizerModelReader?
    var sections: [String: JSONValue] = [:]
    try reader.enterObject()
    while let key = try reader.nextKey() {
      switch key {
      case "model":
        var found = TokenizerModelReader(path: path)
        try found.read(&reader)
        model = found
      case "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder":
        sections[key] = try reader.value()
      // How texts are cut to a length or filled up is for those who make batches.
      default: try reader.skip()
      }
    }
    try reader.end()
    let file = TokenizerFileFacts(path: path)
    guard let model else { throw file.malformed("the key \"model\" is missing") }
    let (vocabulary, parts) = try model.parts()
    var result = TokenizerParts(source: path, vocabulary: vocabulary, model: parts)
    result.added = try AddedToken.list(sections["added_tokens"], file)
    result.normalizer = try NormalizerReader(file: file).read(sections["normalizer"])
    result.preTokenizers = try PreTokenizerReader(file: file).read(sections["pre_tokenizer"])
    result.decoder = try DecoderReader(file: file).read(sections["decoder"])
    try PostProcessorReader(file: file).read(sections["post_processor"], into: &result)
    return result
  }
}

/// What the readers of the parts say of a file that they refuse.
struct TokenizerFileFacts {
  let path: String

  func malformed(_ message: String, _ position: JSONPosition? = nil) -> Diagnostic {
    let place = position.map {
      DiagnosticLocation.position(file: path, line: $0.line, column: $0.column)
    }
    return Diagnostic(
      .tokenizerMalformed, message, at: place ?? .file(path), remedy: "fetch the file again")
  }

  func unsupported(_ key: String, _ found: String, _ expected: String) -> Diagnostic {
    Diagnostic(
      .tokenizerUnsupported, "\(key) is \"\(found)\"; supported: \(expected)", at: .file(path))
  }

  /// The kind of a part, which every part names.
  func kind(_ part: JSONValue, _ key: String) throws -> String {
    guard let kind = part["type"]?.stringValue else {
      throw unsupported("\(key).type", "missing", "a known kind of \(key)")
    }
    return kind
  }

  func text(_ part: JSONValue, _ name: String, _ key: String) throws -> [UInt8] {
    guard let text = part[name]?.stringValue else {
      throw malformed("\(key).\(name) must be a text")
    }
    return Array(text.utf8)
  }

  func flag(_ part: JSONValue, _ name: String, _ key: String, default standard: Bool?) throws
    -> Bool
  {
    guard let value = part[name], !value.isNull else {
      if let standard { return standard }
      throw malformed("\(key).\(name) is missing")
    }
    guard let flag = value.boolValue else { throw malformed("\(key).\(name) must be a boolean") }
    return flag
  }

  /// One character, as UTF-8.
  func character(_ part: JSONValue, _ name: String, _ key: String) throws -> [UInt8] {
    let text = try text(part, name, key)
    guard let first = text.first, DecodedScalar.length(first) == text.count else {
      throw malformed("\(key).\(name) must be one character")
    }
    return text
  }

  /// `{"String": "…"}` or `{"Regex": "…"}`.
  func pattern(_ part: JSONValue, _ key: String) throws -> TextPattern {
    if let text = part["pattern"]?["String"]?.stringValue {
      guard !text.isEmpty else {
        throw unsupported("\(key).pattern", "", "a pattern that is not empty")
      }
      return .literal(Array(text.utf8))
    }
    guard let text = part["pattern"]?["Regex"]?.stringValue else {
      throw malformed("\(key).pattern must hold \"String\" or \"Regex\"")
    }
    do {
      return try TextPattern(expression: text)
    } catch {
      throw unsupported("\(key).pattern", text, "expressions that Oniguruma compiles (\(error))")
    }
  }
}

extension AddedToken {
  fileprivate static func list(
    _ value: JSONValue?, _ file: TokenizerFileFacts
  ) throws -> [AddedToken] {
    guard case .array(let elements)? = value else { return [] }
    return try elements.map { element in
      let value = element.value
      guard let id = value["id"]?.intValue.flatMap({ Int32(exactly: $0) }),
        let text = value["content"]?.stringValue
      else { throw file.malformed("an added token lacks id or content", element.position) }
      let isSpecial = value["special"]?.boolValue ?? false
      return AddedToken(
        id: id, text: text, isSpecial: isSpecial,
        stripsLeft: value["lstrip"]?.boolValue ?? false,
        stripsRight: value["rstrip"]?.boolValue ?? false,
        isSingleWord: value["single_word"]?.boolValue ?? false,
        isNormalized: value["normalized"]?.boolValue ?? !isSpecial)
    }
  }
}
