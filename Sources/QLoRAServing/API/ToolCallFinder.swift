// Calls of tools in the text of an answer, in the markup that Hermes, Qwen and others are trained
// on: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
import QLoRAJSON

package struct ToolCall: Sendable, Equatable {
  package var name: String
  /// JSON.
  package var arguments: String

  package init(name: String, arguments: String) {
    self.name = name
    self.arguments = arguments
  }
}

package struct ToolCallFinder: Sendable {
  package enum Part: Sendable, Equatable {
    case text(String)
    case call(ToolCall)
  }

  private static let opening = "<tool_call>"
  private static let closing = "</tool_call>"

  /// Text that may still turn out to be part of a call, or the space before one.
  private var held = ""
  private var hasFound = false

  package init() {}

  /// What is certain after one more piece.
  package mutating func append(_ piece: String) -> [Part] {
    held += piece
    var parts: [Part] = []
    while let start = held.firstRange(of: Self.opening) {
      let inside = held[start.upperBound...]
      let words = spaceStart(before: start.lowerBound)
      guard let end = inside.firstRange(of: Self.closing) else { return parts + release(words) }
      guard let call = Self.call(inside[..<end.lowerBound]) else {
        parts += release(end.upperBound)
        continue
      }
      // Space before a call and between calls is no words.
      if words > held.startIndex { parts.append(.text(String(held[..<words]))) }
      parts.append(.call(call))
      held = String(held[end.upperBound...])
      hasFound = true
    }
    return parts + release(uncertainStart)
  }

  /// What is left at the end: words, where it is no call.
  package mutating func finish() -> [Part] {
    defer { held = "" }
    return hasFound && held.allSatisfy(\.isWhitespace) || held.isEmpty ? [] : [.text(held)]
  }

  /// Where space, and the beginning of a call behind it, may begin.
  private var uncertainStart: String.Index {
    let counts = stride(from: Self.opening.count - 1, to: 0, by: -1)
    let count = counts.first { held.hasSuffix(Self.opening.prefix($0)) } ?? 0
    return spaceStart(before: held.index(held.endIndex, offsetBy: -count))
  }

  private func spaceStart(before end: String.Index) -> String.Index {
    var start = end
    while start > held.startIndex, held[held.index(before: start)].isWhitespace {
      start = held.index(before: start)
    }
    return start
  }

  private mutating func release(_ end: String.Index) -> [Part] {
    let text = String(held[..<end])
    held = String(held[end...])
    return text.isEmpty ? [] : [.text(text)]
  }

  private static func call(_ text: Substring) -> ToolCall? {
    guard let value = try? JSONValue(parsing: text.utf8), let name = value["name"]?.stringValue
    else { return nil }
    let arguments = value["arguments"] ?? value["parameters"] ?? .object([])
    // Some models write the arguments as a string that holds JSON.
    return ToolCall(
      name: name, arguments: arguments.stringValue ?? JSONWriter.text(arguments, style: .spaced))
  }
}
