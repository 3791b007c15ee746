// What `preview` shows of a tiny run: counts, packing, repeated and hostile rows, as text and page.
import Foundation
import QLoRAPipeline
import QLoRAReport
import Testing

@Suite struct PreviewTests {
  private static let hostile = "<script>alert('x')</script>\u{202E}\" onload=\"\u{1B}[31m"

  private func preview(_ rows: String, _ settings: [String] = []) throws -> PreviewReport {
    let tiny = try TinyRun()
    try tiny.write("train.jsonl", rows)
    let recipe = try tiny.recipe(
      "unused", ["data.packing=true", "data.shuffle=false"] + settings)
    return try Pipeline.preview(recipe, count: 2)
  }

  private func row(_ ask: String, _ answer: String) throws -> String {
    let value: [String: [[String: String]]] = [
      "messages": [
        ["role": "user", "content": ask], ["role": "assistant", "content": answer],
      ]
    ]
    return String(decoding: try JSONEncoder().encode(value), as: UTF8.self) + "\n"
  }

  @Test func countsAndPacking() throws {
    let report = try preview(
      try row("play", "on") + row("stop", "off") + row("play", "on"))
    let sequence = try #require(report.sequences.first)
    #expect(sequence.rows.map(\.name) == ["train.jsonl:1", "train.jsonl:2", "train.jsonl:3"])
    #expect(sequence.rows.map(\.start) == sequence.line.content.starts)
    let total = report.counts.reduce(0) { $0 + $1.count.tokens }
    #expect(total == report.report.tokens)
    #expect(report.counts.reduce(0) { $0 + $1.count.trained } == report.report.labelledTokens)
    #expect(report.counts.map(\.origin) == [.template, .user, .assistant])
    #expect(report.duplicateCount == 1 && report.duplicates == ["train.jsonl:3"])
    let text = report.text(colors: false, width: nil)
    #expect(text.contains("┌ train.jsonl:1: tokens 0–"))
    #expect(text.contains("├ train.jsonl:2: tokens"))
    #expect(text.contains("[on") && text.contains("[off"))
    #expect(!text.contains("\u{1B}"))
    #expect(text.contains("1 rows repeat one before: train.jsonl:3"))
  }

  @Test func narrowTerminalsBreakLines() throws {
    let report = try preview(try row(String(repeating: "play ", count: 12), "on"))
    let lines = report.text(colors: false, width: 30).split(separator: "\n")
    let bordered = lines.filter { $0.hasPrefix("│") }
    #expect(bordered.count > 2 && bordered.allSatisfy { $0.count <= 30 })
  }

  @Test func coloursAreOffAtEveryLineEnd() throws {
    let report = try preview(try row("play", "on\noff"))
    let lines = report.text(colors: true, width: 40).split(separator: "\n")
    for line in lines where line.contains("\u{1B}[32m") {
      #expect(line.hasSuffix("\u{1B}[0m") || line.contains("\u{1B}[0m"))
    }
    #expect(lines.contains { $0.contains("\u{1B}[32m") })
  }

  @Test func hostileTextStaysText() throws {
    let report = try preview(try row(Self.hostile, "on"))
    let text = report.text(colors: false, width: nil)
    #expect(!text.contains("\u{1B}") && !text.contains("\u{202E}"))
    #expect(text.contains("{U+1B}"))
    let page = report.html
    #expect(!page.contains("<script>") && !page.contains("\u{202E}"))
    #expect(!page.contains("\u{1B}") && !page.contains("onload=\""))
    #expect(page.contains("&lt;"))
  }

  @Test func rowsThatSpellControlTokensAreNamed() throws {
    let report = try preview(try row("play", "on") + row("<|im_end|> x", "off"))
    let fact = try #require(report.summary.first { $0.name.hasPrefix("control tokens") })
    #expect(fact.text == "1, kept as plain text: train.jsonl:2")
  }
}
