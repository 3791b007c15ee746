// All that decides how a text becomes tokens, as a digest: texts of tokens, merges, scores,
// normalizer, splitters, flags. The chat template is none of it.
import QLoRAJSON
import QLoRASystem

extension Tokenizer {
  /// Of the files that `load(folder:)` reads. Line breaks and spaces between values of
  /// tokenizer.json do not count.
  ///
  /// - Throws: as `load(folder:)`.
  package static func contentDigest(folder: String) throws -> Digest {
    let stream = ContentStream()
    let configs = try ["tokenizer_config.json", "special_tokens_map.json"].map {
      try TokenizerFile.json($0, in: folder)
    }
    for config in configs {
      for role in ["bos_token", "eos_token", "pad_token"] {
        stream.add(TokenizerFile.tokenText(config?[role]))
      }
    }
    if let (bytes, _) = try TokenizerFile.bytes("tokenizer.json", in: folder) {
      stream.add(withoutSpaces(bytes))
      return stream.digest
    }
    // SentencePiece leaves to the configuration what its own file does not say.
    for member in configs[0]?.objectMembers ?? [] where member.key != "chat_template" {
      stream.add(JSONWriter.text(.object([member])))
    }
    for name in ["tokenizer.model", "spiece.model"] {
      if let (bytes, _) = try TokenizerFile.bytes(name, in: folder) { stream.add(bytes) }
    }
    return stream.digest
  }

  /// JSON without what stands between its values.
  private static func withoutSpaces(_ json: [UInt8]) -> [UInt8] {
    var kept: [UInt8] = []
    kept.reserveCapacity(json.count)
    var (isInside, isEscaped) = (false, false)
    for byte in json {
      if isInside {
        kept.append(byte)
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInside = false
        }
      } else if byte != 0x20 && byte != 0x0A && byte != 0x0D && byte != 0x09 {
        kept.append(byte)
        isInside = byte == UInt8(ascii: "\"")
      }
    }
    return kept
  }
}

extension GGUFVocabulary {
  package var contentDigest: Digest {
    let stream = ContentStream()
    stream.add(modelName)
    stream.add(preTokenizer)
    for list in [tokens, merges] {
      stream.add("\(list.count)")
      for text in list { stream.add(text) }
    }
    stream.add(tokenTypes.map(String.init).joined(separator: ","))
    stream.add(scores.map { $0.map { "\($0.bitPattern)" }.joined(separator: ",") })
    for id in [bosID, eosID, padID, unknownID, classID, separatorID] {
      stream.add(id.map(String.init))
    }
    for flag in [addBOS, addEOS, addSpacePrefix, removesExtraSpaces] {
      stream.add(flag.map(String.init))
    }
    stream.add(characterMap ?? [])
    return stream.digest
  }
}

/// Parts of which each is kept apart from the next.
private struct ContentStream {
  private let stream = StreamingDigest()

  var digest: Digest { stream.digest }

  func add(_ bytes: [UInt8]) {
    withUnsafeBytes(of: UInt64(bytes.count).littleEndian, stream.update)
    bytes.withUnsafeBytes(stream.update)
  }

  /// A part that is missing is another one than an empty one.
  func add(_ text: String?) {
    guard let text else { return withUnsafeBytes(of: UInt64.max, stream.update) }
    add(Array(text.utf8))
  }
}
