// A model's chat template: from messages to text whose every part knows who wrote it. The Jinja
// interpreter behind it is in Template/.
import QLoRADiagnostics
import QLoRAJSON

/// A parsed chat template, to be rendered for any number of conversations.
///
/// The language is the part of Jinja 2 that Hugging Face's templates use, with the settings of
/// transformers (`trim_blocks`, `lstrip_blocks`, loop controls, `tojson` without HTML escapes).
package struct ChatTemplate: Sendable {
  private let source: TemplateSource
  private let body: [TemplateStatement]
  private let bosToken: String
  private let eosToken: String
  private let now: TemplateDate

  /// - Parameters:
  ///   - name: under which messages speak of it, such as its file.
  ///   - now: what `strftime_now` formats.
  ///   - limits: what a template may use; its own are far above any known model's.
  /// - Throws: `Diagnostic` E0320 with line and column, E0323 for one that is too large or deep.
  package init(
    source: String, name: String = "chat template", bosToken: String, eosToken: String,
    now: TemplateDate = TemplateDate(),
    limits: TemplateLimits = TemplateLimits()
  ) throws {
    self.source = try TemplateSource(source, limits, name: name)
    var parser = try TemplateParser(self.source)
    body = try parser.parseTemplate()
    self.bosToken = bosToken
    self.eosToken = eosToken
    self.now = now
  }

  /// The text of a conversation, cut where its author changes.
  ///
  /// Text reachable from `messages[i]` is tagged `.message(i)`, in whatever way the template
  /// changes it; what is reachable from `tools`, `.tools`; all else is the template's. A message's
  /// `role` is the template's where it is one of the well-known names: templates build control
  /// tokens from it (`<|user|>`), and a word from a fixed list can not smuggle one in.
  ///
  /// - Throws: `Diagnostic` E0321, E0322 (the template's own refusal) or E0323 (a limit).
  package func render(
    _ messages: [JSONValue], tools: JSONValue? = nil, addsGenerationPrompt: Bool
  ) throws -> [TextSegment] {
    let list = messages.enumerated().map { Self.message($1, .message($0)) }
    let variables: [String: TemplateValue] = [
      "messages": .list(list),
      "tools": tools.map { TemplateValue(json: $0, origin: .tools) } ?? .none,
      "documents": .none,
      "add_generation_prompt": .bool(addsGenerationPrompt),
      "bos_token": .text(bosToken),
      "eos_token": .text(eosToken),
    ]
    let renderer = TemplateRenderer(source: source, now: now)
    return try renderer.render(body, variables: variables).segments()
  }

  /// Roles that chat templates know.
  private static let roles: Set<String> = [
    "system", "user", "assistant", "tool", "developer", "function", "model", "ipython",
    "environment", "observation", "tool_response", "tool_result",
  ]

  private static func message(_ json: JSONValue, _ origin: TextOrigin) -> TemplateValue {
    let value = TemplateValue(json: json, origin: origin)
    guard let entries = value.dictionaryValue?.entries else { return value }
    let marked = entries.map { entry -> ValueDictionary.Entry in
      guard let key = entry.key.textValue?.plain, key == "role",
        let role = entry.value.textValue?.plain, roles.contains(role)
      else { return entry }
      return (entry.key, .text(role))
    }
    return TemplateValue(.dictionary(ValueDictionary(distinct: marked)), origin)
  }
}
