// The entry by which Scripts/interop/text_parity.py compares random strings with PyPI `tokenizers`.
// Without QLORA_TEXT_PARITY, a folder of tokenizers and strings, it has nothing to do.
import Foundation
import QLoRAJSON
import QLoRAText
import Testing

private let parityFolder = ProcessInfo.processInfo.environment["QLORA_TEXT_PARITY"]

@Suite(.enabled(if: parityFolder != nil, "run by Scripts/interop/text_parity.py"))
struct TextParityTests {
  @Test func encodesAndDecodesWhatTheScriptAsks() throws {
    let root = URL(filePath: try #require(parityFolder))
    for name in try FileManager.default.contentsOfDirectory(atPath: root.path()) {
      let folder = root.appending(path: name)
      let strings = try JSONValue(
        parsing: Array(Data(contentsOf: folder.appending(path: "strings.json"))))
      let tokenizer = try Tokenizer.load(folder: folder.path(percentEncoded: false))
      let rows = (strings.arrayValue ?? []).compactMap(\.stringValue).map { text -> JSONValue in
        let ids = tokenizer.encode(text)
        return .dictionary([
          ("ids", .list(ids.map { .int(Int($0)) })),
          ("text", .string(tokenizer.decode(ids))),
        ])
      }
      let text = JSONWriter.text(.list(rows))
      try Data(text.utf8).write(to: folder.appending(path: "result.json"))
    }
  }
}
