// The row formats and what each makes of a row: a conversation, a completion or a text.
import QLoRADiagnostics
import QLoRAJSON

/// How the rows of a data source are laid out; the raw values are the recipe's words.
public enum RowFormat: String, Sendable, CaseIterable {
  /// `{"messages": [{"role": …, "content": …}…], "tools": […]?}`.
  case messages
  /// `{"conversations": [{"from": …, "value": …}…], "system": …?, "tools": …?}`.
  case sharegpt
  /// `{"instruction": …, "input": …?, "output": …}`.
  case alpaca
  /// `{"prompt": …, "completion": …}`.
  case promptCompletion = "prompt-completion"
  /// `{"text": …}`.
  case text
  /// `{"text": …, "text_pair": …?, "label": …}`.
  case classification
}

/// A row's meaning, free of its format.
package enum RowContent: Sendable, Equatable {
  case conversation(messages: [JSONValue], tools: JSONValue?)
  case completion(prompt: String, completion: String)
  case text(String)
  case classified(text: String, pair: String?, label: JSONValue)
}

extension RowFormat {
  /// Reads a row; keys that the format does not know are ignored.
  ///
  /// - Throws: `Diagnostic` E0405 naming the row, the key, and what was found.
  package func content(of row: DataRow) throws(Diagnostic) -> RowContent {
    switch self {
    case .messages:
      .conversation(messages: try Self.messages(row), tools: try Self.tools(row))
    case .sharegpt:
      .conversation(messages: try Self.shareGPT(row), tools: try Self.tools(row))
    case .alpaca:
      .conversation(messages: try Self.alpaca(row), tools: nil)
    case .promptCompletion:
      .completion(
        prompt: try row.string("prompt"), completion: try row.string("completion"))
    case .text:
      .text(try row.string("text"))
    case .classification:
      .classified(
        text: try row.string("text"), pair: try row.optionalString("text_pair"),
        label: row.value["label"] ?? .null)
    }
  }

  private static func messages(_ row: DataRow) throws(Diagnostic) -> [JSONValue] {
    let messages = try row.turns("messages").map(withoutNulls)
    for (index, message) in messages.enumerated() {
      let place = "messages[\(index)]"
      guard message["role"]?.stringValue != nil else {
        throw row.mismatch("\(place).role", "a string", message["role"])
      }
      // A turn that only calls tools has no words of its own.
      let mayLackContent = message["tool_calls"] != nil
      let content = message["content"]
      guard content?.stringValue != nil || (mayLackContent && content?.isNull != false) else {
        throw row.mismatch("\(place).content", "a string", content)
      }
    }
    return messages
  }

  /// A missing member is null in files that have the same members for all messages, and templates
  /// ask whether a member is there. An answer without words keeps its null.
  private static func withoutNulls(_ message: JSONValue) -> JSONValue {
    guard let members = message.objectMembers, members.contains(where: \.value.isNull) else {
      return message
    }
    return .object(members.filter { !$0.value.isNull || $0.key == "content" })
  }

  private static func shareGPT(_ row: DataRow) throws(Diagnostic) -> [JSONValue] {
    var messages: [JSONValue] = []
    if let system = row.value["system"]?.stringValue, !system.isEmpty {
      messages.append(turn("system", system))
    }
    for (index, entry) in try row.turns("conversations").enumerated() {
      let place = "conversations[\(index)]"
      guard let name = entry["from"]?.stringValue, let role = shareGPTRoles[name] else {
        let found = entry["from"]?.stringValue.map { "\"\($0)\"" }
        let names = shareGPTRoles.keys.sorted().joined(separator: ", ")
        throw row.failure(
          .rowShape,
          "\(place).from should be one of \(names), "
            + "found \(found ?? entry["from"]?.kindName ?? "nothing")")
      }
      guard let value = entry["value"]?.stringValue else {
        throw row.mismatch("\(place).value", "a string", entry["value"])
      }
      var message = turn(role, value)
      if case .object(var members) = message {
        members += (entry.objectMembers ?? []).filter { TrainedMessages.keys.contains($0.key) }
        message = .object(members)
      }
      messages.append(message)
    }
    return messages
  }

  private static let shareGPTRoles = [
    "system": "system", "human": "user", "user": "user", "gpt": "assistant",
    "assistant": "assistant", "model": "assistant", "tool": "tool", "observation": "tool",
  ]

  private static func alpaca(_ row: DataRow) throws(Diagnostic) -> [JSONValue] {
    var request = try row.string("instruction")
    if let input = row.value["input"], !input.isNull {
      guard let text = input.stringValue else { throw row.mismatch("input", "a string", input) }
      if !text.isEmpty { request += "\n\n" + text }
    }
    return [turn("user", request), turn("assistant", try row.string("output"))]
  }

  /// `tools` is a list, or such a list as JSON text, as data sets with one column type keep it.
  private static func tools(_ row: DataRow) throws(Diagnostic) -> JSONValue? {
    guard let tools = row.value["tools"], !tools.isNull else { return nil }
    var list = tools
    if let text = tools.stringValue {
      if text.isEmpty { return nil }
      guard let parsed = try? JSONValue(parsing: text) else {
        throw row.failure(.rowShape, "tools is a string that holds no JSON")
      }
      list = parsed
    }
    guard let elements = list.arrayValue else { throw row.mismatch("tools", "an array", list) }
    return elements.isEmpty ? nil : list
  }

  private static func turn(_ role: String, _ content: String) -> JSONValue {
    .dictionary([("role", .string(role)), ("content", .string(content))])
  }
}

extension DataRow {
  package func string(_ key: String) throws(Diagnostic) -> String {
    guard let text = value[key]?.stringValue else { throw mismatch(key, "a string", value[key]) }
    return text
  }

  package func optionalString(_ key: String) throws(Diagnostic) -> String? {
    guard let found = value[key], !found.isNull else { return nil }
    return try string(key)
  }

  fileprivate func turns(_ key: String) throws(Diagnostic) -> [JSONValue] {
    var found = value[key]
    if let text = found?.stringValue {
      guard let parsed = try? JSONValue(parsing: text) else {
        throw failure(.rowShape, "\(key) is a string that holds no JSON")
      }
      found = parsed
    }
    guard let turns = found?.arrayValue else { throw mismatch(key, "an array", found) }
    if turns.isEmpty { throw failure(.rowShape, "\(key) is empty") }
    for (index, turn) in turns.enumerated() where turn.objectMembers == nil {
      throw mismatch("\(key)[\(index)]", "an object", turn)
    }
    return turns
  }

  fileprivate func mismatch(
    _ place: String, _ expected: String, _ found: JSONValue?
  ) -> Diagnostic {
    failure(
      .rowShape, "\(place) should be \(expected), found \(found?.kindName ?? "nothing")",
      remedy: "see `qlora explain E0405` for the keys of each format")
  }
}
