// The post-processor of tokenizer.json: what is put round a text. What it does to the places of
// tokens concerns nobody here.
import QLoRADiagnostics
import QLoRAJSON

struct PostProcessorReader {
  let file: TokenizerFileFacts

  func read(_ value: JSONValue?, into parts: inout TokenizerParts) throws {
    guard let value, !value.isNull else { return }
    try read(value, "post_processor", into: &parts)
  }

  private func read(
    _ value: JSONValue, _ key: String, into parts: inout TokenizerParts
  ) throws {
    let kind = try file.kind(value, key)
    switch kind {
    case "ByteLevel": return
    case "Sequence":
      for (index, step) in (value["processors"]?.arrayValue ?? []).enumerated() {
        try read(step, "\(key).processors[\(index)]", into: &parts)
      }
    case "BertProcessing", "RobertaProcessing":
      let (begin, end) = (try namedToken(value, "cls", key), try namedToken(value, "sep", key))
      surround(&parts, [begin], [end])
      let border = kind == "BertProcessing" ? [end] : [end, end]
      parts.pair = PairIDs(before: [begin], between: border, after: [end])
    case "TemplateProcessing": try readTemplate(value, key, into: &parts)
    default:
      throw file.unsupported(
        key, kind,
        "Sequence, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing")
    }
  }

  /// A later processor works on what an earlier one made.
  private func surround(_ parts: inout TokenizerParts, _ before: [Int32], _ after: [Int32]) {
    parts.prefixIDs = before + parts.prefixIDs
    parts.suffixIDs += after
  }

  /// A pair of a text and its id.
  private func namedToken(_ value: JSONValue, _ name: String, _ key: String) throws -> Int32 {
    guard let pair = value[name]?.arrayValue, pair.count == 2,
      let id = pair[1].intValue.flatMap({ Int32(exactly: $0) })
    else { throw file.malformed("\(key).\(name) must be a token with its id") }
    return id
  }

  private func readTemplate(
    _ value: JSONValue, _ key: String, into parts: inout TokenizerParts
  ) throws {
    var (before, after): ([Int32], [Int32]) = ([], [])
    var texts = 0
    for piece in value["single"]?.arrayValue ?? [] {
      if let sequence = piece["Sequence"] {
        texts += 1
        guard sequence["id"]?.stringValue ?? "A" == "A" else {
          throw file.malformed("\(key).single asks for a second text")
        }
        continue
      }
      let ids = try templateIDs(piece, value, key)
      if texts == 0 { before += ids } else { after += ids }
    }
    guard texts == 1 else {
      throw file.unsupported("\(key).single", "a text \(texts) times", "the text once")
    }
    surround(&parts, before, after)
    try readPair(value, key, into: &parts)
  }

  /// A template of two texts in their order; another one leaves pairs without a template.
  private func readPair(
    _ value: JSONValue, _ key: String, into parts: inout TokenizerParts
  ) throws {
    var ids: [[Int32]] = [[]]
    var texts: [String] = []
    for piece in value["pair"]?.arrayValue ?? [] {
      if let sequence = piece["Sequence"] {
        texts.append(sequence["id"]?.stringValue ?? "A")
        ids.append([])
      } else {
        ids[ids.count - 1] += try templateIDs(piece, value, key)
      }
    }
    guard texts == ["A", "B"] else { return }
    parts.pair = PairIDs(before: ids[0], between: ids[1], after: ids[2])
  }

  private func templateIDs(
    _ piece: JSONValue, _ processor: JSONValue, _ key: String
  ) throws -> [Int32] {
    guard let name = piece["SpecialToken"]?["id"]?.stringValue,
      let ids = processor["special_tokens"]?[name]?["ids"]?.arrayValue
    else { throw file.malformed("\(key).single names a token without ids") }
    return try ids.map {
      guard let id = $0.intValue.flatMap({ Int32(exactly: $0) }) else {
        throw file.malformed("\(key).special_tokens has an id that is no number in range")
      }
      return id
    }
  }
}
