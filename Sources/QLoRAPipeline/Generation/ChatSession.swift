// A dialogue with a model: what was said, and keys and values of it, so that a turn costs what it
// adds.

import QLoRADiagnostics
import QLoRAJSON

package final class ChatSession {
  /// In the order of the dialogue, as chat templates and rows of training data have them.
  package private(set) var messages: [JSONValue] = []

  private let generator: Generator
  private let memory: PromptMemory

  /// - Throws: `templateMissing`.
  package init(_ loaded: LoadedModel, system: String?) throws {
    _ = try loaded.text.requireTemplate(loaded.source.path)
    generator = Generator(loaded)
    memory = PromptMemory(loaded.model, reuse: .everything)
    setSystem(system)
  }

  /// The answer to one more message of the user. What was said of an answer that was stopped stays.
  ///
  /// - Throws: what rendering and generating throw; the dialogue is then as before.
  package func answer(
    to text: String, _ options: AnswerOptions, isStopped: () -> Bool = { false },
    emit: (String) -> Void = { _ in }
  ) throws -> Answer {
    let asked = messages + [Self.message("user", text)]
    let loaded = generator.loaded
    let template = try loaded.text.requireTemplate(loaded.source.path)
    let prompt = loaded.text.tokenizer.encode(
      try template.render(asked, addsGenerationPrompt: true)
    ).ids
    let answer = try generator.answer(
      to: prompt, options, memory: memory, isStopped: isStopped
    ) { emit($0.text) }
    messages = asked + [Self.message("assistant", answer.text)]
    return answer
  }

  /// Forgets all but the system's message.
  package func reset() { messages.removeAll { $0["role"]?.stringValue != "system" } }

  /// Takes back the last question and its answer; false where there is none.
  package func undo() -> Bool {
    guard let last = messages.lastIndex(where: { $0["role"]?.stringValue == "user" }) else {
      return false
    }
    messages.removeLast(messages.count - last)
    return true
  }

  /// Begins anew under another message of the system, or none.
  package func setSystem(_ text: String?) {
    messages = text.map { [Self.message("system", $0)] } ?? []
  }

  /// The dialogue as a row of training data.
  package var row: String { JSONWriter.text(.dictionary([("messages", .list(messages))])) + "\n" }

  static func message(_ role: String, _ content: String) -> JSONValue {
    .dictionary([("role", .string(role)), ("content", .string(content))])
  }
}
