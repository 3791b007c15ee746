// Which messages of a conversation are trained: the recipe's choice, and what rows say themselves.
import QLoRADiagnostics
import QLoRAJSON

/// What the recipe says of conversations; the raw values are its words.
package enum TrainedTurns: String, Sendable, CaseIterable {
  case allAssistant = "all-assistant"
  case lastAssistant = "last-assistant"
}

/// A conversation without the marks of its messages, and which of them are trained.
struct TrainedMessages {
  let messages: [JSONValue]
  /// Ascending; all are the assistant's.
  let trained: [Int]
  /// Whether marks leave out what would be trained.
  let hasMarks: Bool

  /// `weight` (0 or 1) is OpenAI's word, `train` and `training` are axolotl's.
  static let keys: Set<String> = ["weight", "train", "training"]

  /// - Throws: `Diagnostic` E0405 for other values, for marks that contradict each other, and for
  ///   another role that shall be trained.
  init(_ messages: [JSONValue], _ turns: TrainedTurns, _ row: DataRow) throws(Diagnostic) {
    var plain: [JSONValue] = []
    var trained: [Int] = []
    var hasMarks = false
    for (index, message) in messages.enumerated() {
      let isAssistant = message["role"]?.stringValue == "assistant"
      let mark = try Self.mark(message, index, row)
      if mark == true, !isAssistant {
        throw row.failure(
          .rowShape, "messages[\(index)] is marked as trained, but only the assistant's are",
          remedy: "delete its \"weight\" or \"train\"")
      }
      if isAssistant, mark != false { trained.append(index) }
      if isAssistant, mark == false { hasMarks = true }
      plain.append(message.without(Self.keys))
    }
    self.messages = plain
    self.hasMarks = hasMarks
    self.trained = turns == .lastAssistant ? Array(trained.suffix(1)) : trained
  }

  /// nil where the message does not say.
  private static func mark(
    _ message: JSONValue, _ index: Int, _ row: DataRow
  ) throws(Diagnostic) -> Bool? {
    var found: Bool?
    for member in message.objectMembers ?? [] where keys.contains(member.key) {
      if member.value.isNull { continue }
      let isWeight = member.key == "weight"
      let number = member.value.doubleValue
      let value =
        isWeight ? (number == 1 ? true : number == 0 ? false : nil) : member.value.boolValue
      guard let value else {
        throw row.failure(
          .rowShape,
          "messages[\(index)].\(member.key) should be \(isWeight ? "0 or 1" : "true or false")",
          remedy: "a message is trained or not; a file's share is data.train[].weight")
      }
      if let found, found != value {
        throw row.failure(
          .rowShape, "messages[\(index)] is marked as trained and as not trained")
      }
      found = value
    }
    return found
  }
}

extension JSONValue {
  /// The same object without some of its members; itself where it has none of them.
  fileprivate func without(_ keys: Set<String>) -> JSONValue {
    guard let members = objectMembers, members.contains(where: { keys.contains($0.key) }) else {
      return self
    }
    return .object(members.filter { !keys.contains($0.key) })
  }
}
