// The pre-tokenizer of tokenizer.json.
import QLoRADiagnostics
import QLoRAJSON

struct PreTokenizerReader {
  let file: TokenizerFileFacts

  func read(_ value: JSONValue?) throws -> [PreTokenizer] {
    guard let value, !value.isNull else { return [] }
    return try steps(value, "pre_tokenizer")
  }

  private func steps(_ value: JSONValue, _ key: String) throws -> [PreTokenizer] {
    let kind = try file.kind(value, key)
    switch kind {
    case "Sequence":
      let steps = value["pretokenizers"]?.arrayValue ?? []
      return try steps.enumerated().flatMap {
        try self.steps($1, "\(key).pretokenizers[\($0)]")
      }
    case "ByteLevel":
      return [
        .byteLevel(
          addsPrefixSpace: try file.flag(value, "add_prefix_space", key, default: true),
          splits: try file.flag(value, "use_regex", key, default: true))
      ]
    case "Metaspace": return [.metaspace(try file.metaspace(value, key))]
    case "Split":
      guard let behavior = try behavior(value, key) else {
        throw file.malformed("\(key).behavior is missing")
      }
      let isInverted = try file.flag(value, "invert", key, default: false)
      return [.split(try file.pattern(value, key), behavior, isInverted: isInverted)]
    case "Digits":
      return [.digits(oneByOne: try file.flag(value, "individual_digits", key, default: nil))]
    case "Whitespace": return [.whitespace]
    case "WhitespaceSplit": return [.whitespaceSplit]
    case "Punctuation": return [.punctuation(try behavior(value, key) ?? .isolated)]
    case "BertPreTokenizer": return [.bert]
    case "CharDelimiterSplit":
      let delimiter = DecodedScalar(try file.character(value, "delimiter", key), at: 0)
      return [.delimiter(delimiter.scalar)]
    case "UnicodeScripts": return [.unicodeScripts]
    case "FixedLength":
      let length = value["length"].map { $0.intValue ?? 0 } ?? 5
      guard length > 0 else { throw file.malformed("\(key).length must be above zero") }
      return [.fixedLength(length)]
    default:
      throw file.unsupported(
        key, kind,
        "Sequence, ByteLevel, Metaspace, Split, Digits, Whitespace, WhitespaceSplit, Punctuation, "
          + "BertPreTokenizer, CharDelimiterSplit, UnicodeScripts, FixedLength")
    }
  }

  private func behavior(_ value: JSONValue, _ key: String) throws -> SplitBehavior? {
    guard let name = value["behavior"]?.stringValue else { return nil }
    guard let behavior = SplitBehavior(rawValue: name) else {
      throw file.unsupported(
        "\(key).behavior", name, SplitBehavior.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return behavior
  }
}

extension TokenizerFileFacts {
  /// Splitter and decoder write it alike.
  func metaspace(_ value: JSONValue, _ key: String) throws -> Metaspace {
    var rules = Metaspace()
    rules.mark = try character(value, "replacement", key)
    if let scheme = value["prepend_scheme"]?.stringValue {
      guard let prefix = Metaspace.Prefix(rawValue: scheme) else {
        throw unsupported("\(key).prepend_scheme", scheme, "always, first, never")
      }
      rules.prefix = prefix
    }
    if value["add_prefix_space"]?.boolValue == false {
      guard value["prepend_scheme"] == nil || rules.prefix == .never else {
        throw malformed("\(key).add_prefix_space does not agree with prepend_scheme")
      }
      rules.prefix = .never
    }
    rules.splits = try flag(value, "split", key, default: true)
    return rules
  }
}
