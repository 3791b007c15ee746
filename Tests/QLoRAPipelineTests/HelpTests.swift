// What the program says of itself: help, manual pages and completions of every command.
import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: QLoRAProcess.isBuilt())) struct HelpTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The words after `qlora` of every command, with the text of its page.
  private func pages() throws -> [(words: [String], text: String)] {
    let made = try QLoRAProcess(["manual", "--output", folder.path("")], in: folder.url).finish()
    #expect(made.code == 0, "\(made.text)")
    return try FileManager.default.contentsOfDirectory(atPath: folder.path(""))
      .filter { $0.hasSuffix(".1") }.sorted().map { name in
        let text = try String(contentsOf: folder.url.appending(path: name), encoding: .utf8)
        // The first line of the synopsis has the words with spaces between them.
        let bold = text.firstMatch(of: /\.SH SYNOPSIS\n\\fB(.*?)\\fR/)?.output.1 ?? ""
        let words = bold.replacing("\\-", with: "-").split(separator: " ").map(String.init)
        return (Array(words.dropFirst()), text)
      }
  }

  @Test func everyCommandHasAPageWithAnExample() throws {
    let pages = try pages()
    #expect(pages.count > 20 && pages.contains { $0.words == ["recipes", "cp"] })
    for page in pages where !page.words.isEmpty {
      #expect(page.text.contains(".SH EXAMPLES\n.EX\nqlora "), "\(page.words)")
    }
  }

  /// Old troffs read bytes, and a line that begins with a dot is a request.
  @Test func pagesAreWellFormed() throws {
    let requests: Set = [".TH", ".SH", ".TP", ".EX", ".EE", ".PP"]
    for page in try pages() {
      #expect(page.text.utf8.allSatisfy { $0 < 128 }, "\(page.words)")
      for line in page.text.split(separator: "\n") where line.hasPrefix(".") {
        let request = String(line.prefix { $0 != " " })
        #expect(requests.contains(request), "\(page.words): \(line)")
      }
    }
  }

  @Test func everyCommandIsDocumented() throws {
    let text = try String(
      contentsOf: Goldens.repository.appending(path: "Docs/CommandLine.md"), encoding: .utf8)
    for page in try pages() where page.words.count == 1 {
      #expect(text.contains("| `qlora \(page.words[0])"), "\(page.words)")
    }
  }

  @Test(arguments: ["bash", "zsh", "fish"])
  func completionsKnowEveryCommand(shell: String) throws {
    let file = folder.path("completions")
    let made = try QLoRAProcess(
      ["completions", shell], in: folder.url, shell: "exec \"$0\" \"$@\" > \(file)"
    ).finish()
    #expect(made.code == 0)
    let text = try String(contentsOfFile: file, encoding: .utf8)
    for page in try pages() where page.words.count == 1 {
      #expect(text.contains(page.words[0]), "\(page.words)")
    }
  }
}
