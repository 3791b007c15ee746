// axolotl's lists of datasets as sources of rows.
import QLoRAJSON

extension ConfigImporter {
  /// - Parameter kind: what an entry is that does not say so.
  mutating func takeSources(_ key: String, _ path: String, _ kind: String? = nil) {
    guard let value = value(key) else { return }
    let entries = value.arrayValue ?? [value]
    var reasons: [String] = []
    let sources = entries.map { Self.source($0, kind, &reasons) }
    var seen: Set<String> = []
    set(
      path, .list(sources), from: key,
      because: reasons.filter { seen.insert($0).inserted }.joined(separator: "; "))
  }

  private static func source(
    _ entry: JSONValue, _ kind: String?, _ reasons: inout [String]
  ) -> JSONValue {
    let name = entry["path"]?.stringValue ?? entry.stringValue ?? "train.jsonl"
    let files = entry["data_files"]
    let file = files?.stringValue ?? files?.arrayValue?.first?.stringValue
    if let count = files?.arrayValue?.count, count > 1 {
      reasons.append("the first of \(count) data_files; add the others")
    }
    let path = file ?? name
    if file == nil, !path.hasPrefix("."), !path.hasPrefix("/"), !path.contains(".json") {
      reasons.append(
        "\(path) is a data set on a hub; `qlora download --dataset` it, and name its file")
    }
    for member in entry.objectMembers ?? [] where !known.contains(member.key) {
      if !member.value.isNull, member.value != "train", member.value != false {
        reasons.append("\(member.key) is left out")
      }
    }
    return .dictionary([
      ("path", .string(path)), ("format", .string(format(entry, kind, &reasons))),
    ])
  }

  /// Keys of an entry that are heeded, or that say what files say themselves.
  private static let known: Set = [
    "path", "type", "data_files", "ds_type", "field_messages", "message_property_mappings",
    "message_field_role", "message_field_content", "chat_template",
  ]

  private static func format(
    _ entry: JSONValue, _ kind: String?, _ reasons: inout [String]
  ) -> String {
    guard let word = entry["type"]?.stringValue ?? kind else {
      reasons.append("rows of a type of one's own; write them as messages")
      return "messages"
    }
    let names = entry["message_property_mappings"]
    let speaker = names?["role"]?.stringValue ?? entry["message_field_role"]?.stringValue
    let field = entry["field_messages"]?.stringValue
    switch word.split(separator: ".").first.map(String.init) ?? "" {
    case "alpaca": return "alpaca"
    case "sharegpt", "chatml": return "sharegpt"
    case "completion", "pretrain": return "text"
    case "chat_template":
      if speaker == "from" || field == "conversations" { return "sharegpt" }
      if let field, field != "messages" { reasons.append("\(field) must be called messages") }
      return "messages"
    default:
      reasons.append("there is no format \(word); write the rows as messages")
      return "messages"
    }
  }
}
