// The entry by which Scripts/interop/template_kinds.py compares rendered conversations with PyPI
// `jinja2`. Without QLORA_TEMPLATE_KINDS, a folder of them, it has nothing to do.
import Foundation
import QLoRAJSON
import QLoRAText
import Testing

private let folder = ProcessInfo.processInfo.environment["QLORA_TEMPLATE_KINDS"]

@Suite(.enabled(if: folder != nil, "run by Scripts/interop/template_kinds.py"))
struct TemplateKindParityTests {
  private func render(_ row: JSONValue) throws -> String {
    let template = try ChatTemplate(
      source: row["template"]?.stringValue ?? "", bosToken: "<s>", eosToken: "</s>")
    let tools = row["tools"].flatMap { $0.isNull ? nil : $0 }
    return try template.render(
      row["messages"]?.arrayValue ?? [], tools: tools,
      addsGenerationPrompt: row["addGenerationPrompt"] == .bool(true)
    ).map(\.text).joined()
  }

  /// A text for each conversation, null where the template or we refuse it.
  @Test func rendersWhatTheScriptAsks() throws {
    let root = URL(filePath: try #require(folder))
    let rows = try JSONValue(parsing: Array(Data(contentsOf: root.appending(path: "rows.json"))))
    let texts = (rows.arrayValue ?? []).map { row in
      (try? render(row)).map { JSONValue.string($0) } ?? .null
    }
    try Data(JSONWriter.text(.list(texts)).utf8).write(to: root.appending(path: "result.json"))
  }
}
