// Chat templates and fragments against the text that PyPI `jinja2` renders.
// Scripts/goldens/make_template_goldens.py makes the file.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText
import Testing
import TestSupport

struct TemplateGoldenTests {
  let golden: JSONValue

  init() throws {
    golden = try JSONValue(parsing: Array(Data(contentsOf: Goldens.url("templates.json"))))
  }

  private func render(_ row: JSONValue) throws -> String {
    let template = try ChatTemplate(
      source: #require(row["template"]?.stringValue), bosToken: "<s>", eosToken: "</s>")
    let tools = row["tools"].flatMap { $0.isNull ? nil : $0 }
    let segments = try template.render(
      #require(row["messages"]?.arrayValue), tools: tools,
      addsGenerationPrompt: row["addGenerationPrompt"] == .bool(true))
    return segments.map(\.text).joined()
  }

  @Test(arguments: ["templates", "fragments"])
  func textEqualsTheReference(_ kind: String) throws {
    let rows = try #require(golden[kind]?.arrayValue)
    #expect(rows.count >= 60)
    for row in rows {
      let name = row["name"]?.stringValue ?? ""
      guard let expected = row["text"]?.stringValue else {
        #expect(throws: Diagnostic.self, "\(name): \(row["template"]?.stringValue ?? "")") {
          try render(row)
        }
        continue
      }
      do {
        let text = try render(row)
        #expect(Array(text.utf8) == Array(expected.utf8), "\(name):\n\(text)\n---\n\(expected)")
      } catch {
        Issue.record("\(name): \(error) in \(row["template"]?.stringValue?.prefix(300) ?? "")")
      }
    }
  }
}
