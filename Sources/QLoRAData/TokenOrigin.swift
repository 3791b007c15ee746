// Who wrote the token of a row: for people who look at their data. Training never asks.
import QLoRAJSON
import QLoRAText

package enum TokenOrigin: UInt8, Sendable, CaseIterable {
  /// The chat template, and what the tokenizer puts round a text.
  case template
  case system, user, assistant
  /// Results of tools and the list of tools.
  case tool
  /// A row of plain text.
  case text

  /// The author of a message by its role, in the words of every template.
  init(role: String?) {
    switch role {
    case "system", "developer": self = .system
    case "assistant", "model": self = .assistant
    case "tool", "function", "ipython", "observation", "tool_response", "tool_result": self = .tool
    default: self = .user
    }
  }

  package var name: String {
    switch self {
    case .template: "template"
    case .system: "system"
    case .user: "user"
    case .assistant: "assistant"
    case .tool: "tool"
    case .text: "text"
    }
  }

  /// For each token the author of its first byte.
  static func origins(
    _ text: TokenizedText, _ segments: [TextSegment], roles: [TokenOrigin]
  ) -> [TokenOrigin] {
    var origins: [TokenOrigin] = []
    var segment = 0
    var end = segments.first?.text.utf8.count ?? 0
    for range in text.byteRanges {
      while end <= range.lowerBound, segment + 1 < segments.count {
        segment += 1
        end += segments[segment].text.utf8.count
      }
      switch segments[segment].origin {
      case .template: origins.append(.template)
      case .tools: origins.append(.tool)
      case .message(let index): origins.append(roles[index])
      }
    }
    return origins
  }
}
