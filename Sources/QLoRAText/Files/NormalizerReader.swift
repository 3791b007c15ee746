// The normalizer of tokenizer.json.
import QLoRADiagnostics
import QLoRAJSON

struct NormalizerReader {
  let file: TokenizerFileFacts

  func read(_ value: JSONValue?) throws -> Normalizer? {
    guard let value, !value.isNull else { return nil }
    return try read(value, "normalizer")
  }

  private func read(_ value: JSONValue, _ key: String) throws -> Normalizer {
    let kind = try file.kind(value, key)
    if let form = NormalizationForm(rawValue: kind) { return .form(form) }
    switch kind {
    case "Sequence":
      let steps = value["normalizers"]?.arrayValue ?? []
      return .sequence(
        try steps.enumerated().map { try read($1, "\(key).normalizers[\($0)]") })
    case "Lowercase": return .lowercase
    case "StripAccents": return .stripAccents
    case "Nmt": return .nmt
    case "ByteLevel": return .byteLevel
    case "Strip":
      return .strip(
        left: try file.flag(value, "strip_left", key, default: nil),
        right: try file.flag(value, "strip_right", key, default: nil))
    case "Prepend": return .prepend(try file.text(value, "prepend", key))
    case "Replace":
      return .replace(try file.pattern(value, key), with: try file.text(value, "content", key))
    case "BertNormalizer":
      return .bert(
        BERTNormalizer(
          cleansText: try file.flag(value, "clean_text", key, default: nil),
          isolatesChinese: try file.flag(value, "handle_chinese_chars", key, default: nil),
          stripsAccents: value["strip_accents"]?.boolValue,
          lowercases: try file.flag(value, "lowercase", key, default: nil)))
    case "Precompiled":
      let text = try file.text(value, "precompiled_charsmap", key)
      guard let bytes = Base64.bytes(text), let map = CharacterMap(bytes) else {
        throw file.malformed("\(key).precompiled_charsmap is no map of characters")
      }
      return .precompiled(map)
    default:
      throw file.unsupported(
        key, kind,
        "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace, "
          + "BertNormalizer, Precompiled, Nmt, ByteLevel")
    }
  }
}
