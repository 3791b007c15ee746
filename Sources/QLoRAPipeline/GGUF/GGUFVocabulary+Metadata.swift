// A vocabulary as the `tokenizer.*` metadata of a GGUF file, read and written.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAText

extension GGUFVocabulary {
  /// The vocabulary that a GGUF file carries in its metadata.
  init(_ file: GGUFFile) throws {
    let metadata = file.metadata
    guard let tokens = metadata["tokenizer.ggml.tokens"]?.strings else {
      throw Diagnostic(
        .vocabularyMissing, "there is no tokenizer.ggml.tokens in the metadata",
        at: .file(file.path), remedy: "use a GGUF file that was converted with its tokenizer")
    }
    func token(_ key: String) -> Int32? {
      metadata["tokenizer.ggml.\(key)_token_id"]?.int.map(Int32.init(clamping:))
    }
    self.init(
      tokens: tokens, scores: metadata["tokenizer.ggml.scores"]?.floats,
      tokenTypes: metadata["tokenizer.ggml.token_type"]?.integers ?? [],
      merges: metadata["tokenizer.ggml.merges"]?.strings ?? [],
      preTokenizer: metadata["tokenizer.ggml.pre"]?.string ?? "default",
      modelName: metadata["tokenizer.ggml.model"]?.string ?? "", bosID: token("bos"),
      eosID: token("eos"), padID: token("padding"), unknownID: token("unknown"),
      addBOS: metadata["tokenizer.ggml.add_bos_token"]?.bool,
      chatTemplate: metadata["tokenizer.chat_template"]?.string)
    addEOS = metadata["tokenizer.ggml.add_eos_token"]?.bool
    addSpacePrefix = metadata["tokenizer.ggml.add_space_prefix"]?.bool
    removesExtraSpaces = metadata["tokenizer.ggml.remove_extra_whitespaces"]?.bool
    characterMap = metadata["tokenizer.ggml.precompiled_charsmap"]?.bytes
    classID = token("cls")
    // The key is spelled so in files of the format.
    separatorID = token("seperator")
  }

  /// The inverse: the pairs in the order in which converters write them.
  var metadata: GGUFWriter.Metadata {
    func key(_ name: String) -> String { "tokenizer.ggml." + name }
    var pairs: GGUFWriter.Metadata = [
      (key("model"), .string(modelName)), (key("pre"), .string(preTokenizer)),
      (key("tokens"), .array(.strings(tokens))),
      (key("token_type"), .array(.integers(tokenTypes.map(Int64.init), .int32))),
    ]
    if let scores { pairs.append((key("scores"), .array(.floats(scores)))) }
    if modelName == "gpt2" || modelName == "gemma4" {
      pairs.append((key("merges"), .array(.strings(merges))))
    }
    let ids = [("bos", bosID), ("eos", eosID), ("unknown", unknownID), ("padding", padID)]
    pairs += ids.compactMap { name, id in
      id.map { (key: key("\(name)_token_id"), value: GGUFValue.uint32(Int($0))) }
    }
    let flags = [
      ("add_bos_token", addBOS), ("add_eos_token", addEOS), ("add_space_prefix", addSpacePrefix),
      ("remove_extra_whitespaces", removesExtraSpaces),
    ]
    pairs += flags.compactMap { name, flag in flag.map { (key: key(name), value: .bool($0)) } }
    if let characterMap {
      pairs.append((key("precompiled_charsmap"), .array(.bytes(characterMap))))
    }
    if let chatTemplate { pairs.append(("tokenizer.chat_template", .string(chatTemplate))) }
    return pairs
  }
}

extension GGUFValue {
  /// An array of integers of any width; nil for anything else.
  fileprivate var integers: [Int32]? {
    guard case .array(let array) = self else { return nil }
    switch array {
    case .integers(let values, _): return values.map { Int32(clamping: $0) }
    default: return nil
    }
  }

  fileprivate var floats: [Float]? {
    guard case .array(let array) = self else { return nil }
    switch array {
    case .floats(let values): return values
    case .integers(let values, _): return values.map { Float($0) }
    default: return nil
    }
  }

  fileprivate var bytes: [UInt8]? {
    guard case .array(let array) = self else { return nil }
    switch array {
    case .bytes(let values): return values
    case .integers(let values, .int8): return values.map { UInt8(bitPattern: Int8(clamping: $0)) }
    default: return nil
    }
  }
}
