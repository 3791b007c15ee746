// The entry by which Scripts/interop/text_kinds.py compares random strings with PyPI `tokenizers`
// and `sentencepiece`. Without QLORA_TEXT_KINDS, a folder of both, it has nothing to do.
import Foundation
import QLoRAJSON
import QLoRAText
import Testing

private let kindFolder = ProcessInfo.processInfo.environment["QLORA_TEXT_KINDS"]

@Suite(.enabled(if: kindFolder != nil, "run by Scripts/interop/text_kinds.py"))
struct TokenizerKindParityTests {
  @Test func encodesAndDecodesWhatTheScriptAsks() throws {
    let root = URL(filePath: try #require(kindFolder))
    for name in try FileManager.default.contentsOfDirectory(atPath: root.path()) {
      let folder = root.appending(path: name)
      let strings = try JSONValue(
        parsing: Array(Data(contentsOf: folder.appending(path: "strings.json"))))
      let tokenizer = try Tokenizer.load(folder: folder.path(percentEncoded: false))
      let isPlain = FileManager.default.fileExists(
        atPath: folder.appending(path: "plain").path(percentEncoded: false))
      let rows = (strings.arrayValue ?? []).compactMap(\.stringValue).map { text -> JSONValue in
        let ids = tokenizer.encode(
          text, addSpecialTokens: !isPlain, recognizesControlTokens: !isPlain)
        var decoder = tokenizer.makeStreamingDecoder()
        let streamed = ids.map { decoder.append($0) }.joined() + decoder.finish()
        return .dictionary([
          ("ids", .list(ids.map { .int(Int($0)) })), ("text", .string(tokenizer.decode(ids))),
          ("streamed", .string(streamed)),
        ])
      }
      try Data(JSONWriter.text(.list(rows)).utf8)
        .write(to: folder.appending(path: "result.json"))
    }
  }
}
