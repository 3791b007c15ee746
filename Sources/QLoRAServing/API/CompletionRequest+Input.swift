// What a request is about: messages and tools as chat templates expect them, or prompts.
import QLoRAJSON

extension CompletionRequest {
  static func conversation(_ fields: RequestFields) throws(APIError) -> Input {
    guard let list = try fields.list("messages"), !list.isEmpty else {
      throw APIError(
        "'messages' must have at least one message.", parameter: "messages",
        code: "missing_parameter")
    }
    var messages: [JSONValue] = []
    for (index, message) in list.enumerated() {
      messages.append(try Self.message(message, "messages[\(index)]"))
    }
    return .conversation(messages: messages, tools: try tools(fields))
  }

  private static let roles: Set<String> = ["system", "developer", "user", "assistant", "tool"]

  private static func message(
    _ message: JSONValue, _ place: String
  ) throws(APIError) -> JSONValue {
    guard let members = message.objectMembers else {
      throw RequestFields.mismatch(place, "an object", message)
    }
    guard let role = message["role"]?.stringValue, roles.contains(role) else {
      throw RequestFields.mismatch(
        "\(place).role", "one of \(roles.sorted().joined(separator: ", "))", message["role"])
    }
    var kept: [JSONMember] = []
    for member in members where !member.value.isNull && member.key != "content" {
      switch member.key {
      // Templates know the older word.
      case "role": kept.append(JSONMember("role", .string(role == "developer" ? "system" : role)))
      case "tool_calls":
        kept.append(JSONMember("tool_calls", try calls(member.value, "\(place).tool_calls")))
      default: kept.append(member)
      }
    }
    let mayLackContent = role == "assistant" && message["tool_calls"]?.isNull == false
    if let content = message["content"], !content.isNull {
      kept.append(JSONMember("content", .string(try text(content, "\(place).content"))))
    } else if mayLackContent {
      kept.append(JSONMember("content", .null))
    } else {
      throw RequestFields.mismatch("\(place).content", "a string", message["content"])
    }
    return .object(kept)
  }

  /// A string, or the texts of an array of parts.
  private static func text(_ content: JSONValue, _ place: String) throws(APIError) -> String {
    if let text = content.stringValue { return text }
    guard let parts = content.arrayValue else {
      throw RequestFields.mismatch(place, "a string or an array of texts", content)
    }
    var whole = ""
    for part in parts {
      guard part["type"]?.stringValue == "text", let text = part["text"]?.stringValue else {
        throw APIError(
          "'\(place)' has a part that is no text; this model reads nothing else.",
          parameter: place, code: "unsupported_content")
      }
      whole += text
    }
    return whole
  }

  /// Templates write arguments as JSON themselves, so they get the value that a string spells.
  private static func calls(_ value: JSONValue, _ place: String) throws(APIError) -> JSONValue {
    guard let list = value.arrayValue else {
      throw RequestFields.mismatch(place, "an array", value)
    }
    var calls: [JSONValue] = []
    for call in list {
      guard case .object(var members) = call, case .object(var function)? = call["function"],
        call["function"]?["name"]?.stringValue != nil
      else {
        throw RequestFields.mismatch(place, "an array of calls, each with a function", call)
      }
      for index in function.indices where function[index].key == "arguments" {
        if let text = function[index].value.stringValue,
          let arguments = try? JSONValue(parsing: text), arguments.objectMembers != nil
        {
          function[index].value = arguments
        }
      }
      for index in members.indices where members[index].key == "function" {
        members[index].value = .object(function)
      }
      calls.append(.object(members))
    }
    return .list(calls)
  }

  private static func tools(_ fields: RequestFields) throws(APIError) -> JSONValue? {
    let choice = fields["tool_choice"]
    if let choice, choice != "auto", choice != "none" {
      throw APIError(
        "'tool_choice' can be auto or none: a call cannot be forced.", parameter: "tool_choice",
        code: "unsupported_parameter")
    }
    guard let tools = try fields.list("tools"), !tools.isEmpty else { return nil }
    for tool in tools {
      guard tool["type"] == "function", tool["function"]?["name"]?.stringValue != nil else {
        throw RequestFields.mismatch("tools", "an array of functions, each with a name", tool)
      }
    }
    return choice == "none" ? nil : .list(tools)
  }

  static func prompts(_ fields: RequestFields) throws(APIError) -> [Prompt] {
    let value = fields["prompt"]
    if let text = value?.stringValue { return [.text(text)] }
    let wanted = "a string, token ids, or an array of either"
    guard let list = value?.arrayValue, !list.isEmpty else {
      throw RequestFields.mismatch("prompt", wanted, value)
    }
    if list.allSatisfy({ $0.intValue != nil }) { return [.tokens(list.compactMap(\.intValue))] }
    guard list.count <= mostPrompts else {
      throw APIError("'prompt' has more than \(mostPrompts) prompts.", parameter: "prompt")
    }
    var prompts: [Prompt] = []
    for entry in list {
      if let text = entry.stringValue {
        prompts.append(.text(text))
      } else if let ids = entry.arrayValue, ids.allSatisfy({ $0.intValue != nil }) {
        prompts.append(.tokens(ids.compactMap(\.intValue)))
      } else {
        throw RequestFields.mismatch("prompt", wanted, entry)
      }
    }
    return prompts
  }
}
