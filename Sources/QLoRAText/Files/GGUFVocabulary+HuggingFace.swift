// A GGUF vocabulary as the files of a Hugging Face folder, so that a model made from a GGUF base
// needs nothing else. Weights and config.json are not its business.
import QLoRAJSON

extension GGUFVocabulary {
  /// `tokenizer.json` and `tokenizer_config.json`. `Tokenizer.load` and transformers'
  /// `AutoTokenizer` make of them the ids that `Tokenizer(gguf:)` gives, and the same template.
  ///
  /// - Parameter maxLength: the model's context, `model_max_length`.
  /// - Throws: what `Tokenizer(gguf:)` throws.
  package func huggingFaceFiles(maxLength: Int) throws -> [(name: String, contents: [UInt8])] {
    let parts = try TokenizerParts(gguf: self)
    // Building it proves that the parts fit together.
    _ = try Tokenizer(parts)
    return [
      ("tokenizer.json", Self.file(try TokenizerJSONWriter(parts: parts).json())),
      ("tokenizer_config.json", Self.file(configuration(parts, maxLength))),
    ]
  }

  private func configuration(_ parts: TokenizerParts, _ maxLength: Int) -> JSONValue {
    // transformers takes the tokens named here for control tokens, which must not befall an
    // ordinary one that only fills up batches.
    func control(_ id: Int32?) -> String? {
      guard let id, parts.added.contains(where: { $0.id == id && $0.isSpecial }) else { return nil }
      return tokens[Int(id)]
    }
    let members: [(String, String?)] = [
      ("bos_token", parts.bos), ("eos_token", parts.eos), ("pad_token", control(padID)),
      ("unk_token", control(unknownID)), ("chat_template", chatTemplate),
    ]
    return .dictionary(
      [
        ("tokenizer_class", "PreTrainedTokenizerFast"),
        ("clean_up_tokenization_spaces", .bool(false)), ("model_max_length", .int(maxLength)),
      ] + members.compactMap { name, text in text.map { (name, .string($0)) } })
  }

  private static func file(_ json: JSONValue) -> [UInt8] {
    Array((JSONWriter.text(json, style: .indented) + "\n").utf8)
  }
}
