// The decoder of tokenizer.json.
import QLoRADiagnostics
import QLoRAJSON

struct DecoderReader {
  let file: TokenizerFileFacts

  func read(_ value: JSONValue?) throws -> Decoder {
    guard let value, !value.isNull else { return .spaced }
    return try read(value, "decoder")
  }

  private func read(_ value: JSONValue, _ key: String) throws -> Decoder {
    let kind = try file.kind(value, key)
    switch kind {
    case "Sequence":
      let steps = value["decoders"]?.arrayValue ?? []
      return .sequence(try steps.enumerated().map { try read($1, "\(key).decoders[\($0)]") })
    case "ByteLevel": return .byteLevel
    case "ByteFallback": return .byteFallback
    case "Fuse": return .fuse
    case "Metaspace": return .metaspace(try file.metaspace(value, key))
    case "Replace":
      return .replace(try file.pattern(value, key), with: try file.text(value, "content", key))
    case "Strip":
      return .strip(
        try file.character(value, "content", key), start: try count(value, "start", key),
        stop: try count(value, "stop", key))
    case "WordPiece":
      return .wordPiece(
        prefix: try file.text(value, "prefix", key),
        cleansUp: try file.flag(value, "cleanup", key, default: nil))
    case "BPEDecoder": return .bpe(suffix: try file.text(value, "suffix", key))
    case "CTC":
      return .ctc(
        pad: try file.text(value, "pad_token", key),
        delimiter: try file.text(value, "word_delimiter_token", key),
        cleansUp: try file.flag(value, "cleanup", key, default: nil))
    default:
      throw file.unsupported(
        key, kind,
        "Sequence, ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, WordPiece, "
          + "BPEDecoder, CTC")
    }
  }

  private func count(_ value: JSONValue, _ name: String, _ key: String) throws -> Int {
    guard let count = value[name]?.intValue, count >= 0 else {
      throw file.malformed("\(key).\(name) must be a number of characters")
    }
    return count
  }
}
