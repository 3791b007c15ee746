// What a run has on record of its tokenizer: enough to notice any change.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import QLoRASystem
import QLoRAText
import QLoRATraining
import TestSupport
import Testing

@Suite struct RunIdentityTests {
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  private func replace(_ name: String, _ old: String, _ new: String) throws {
    let text = String(decoding: try tiny.bytes(name), as: UTF8.self)
    #expect(text.contains(old))
    try tiny.write(name, text.replacing(old, with: new))
  }

  private func refusal() -> Diagnostic? {
    do {
      try tiny.resume("run")
      return nil
    } catch {
      return error as? Diagnostic
    }
  }

  static let edits = [
    (#"["e","r"],["n","t"]"#, #"["n","t"],["e","r"]"#),
    (#""normalizer":null"#, #""normalizer":{"type":"NFC"}"#),
    (#""add_prefix_space":false"#, #""add_prefix_space":true"#),
    (#""ignore_merges":false"#, #""ignore_merges":true"#),
  ]

  /// None of them changes the text of any token.
  @Test(arguments: edits, [2, 16])
  func aChangedTokenizerIsNamed(edit: (old: String, new: String), polls: Int) throws {
    _ = try tiny.train("run", interruption: StopAfter(polls: polls).poll)
    try replace("model/tokenizer.json", edit.old, edit.new)
    let found = refusal()
    #expect(found?.code.exitCode == .resumeRefused)
    #expect(found?.message.contains("the tokenizer is not") == true, "\(String(describing: found))")
  }

  @Test func spacesInTheFileDoNotCount() throws {
    _ = try tiny.train("run", interruption: StopAfter(polls: 16).poll)
    try replace("model/tokenizer.json", #","normalizer":null,"#, ",\n  \"normalizer\" : null ,")
    #expect(refusal() == nil)
  }

  /// Runs of earlier versions have a digest of the tokens' texts, and go on by it.
  @Test func earlierDigestsAreComparedAsBefore() throws {
    _ = try tiny.train("run", interruption: { 15 })
    let tokenizer = try Tokenizer.load(folder: tiny.modelPath)
    let stream = StreamingDigest()
    for id in 0..<Int32(tokenizer.vocabularyCount) {
      Array(tokenizer.text(of: id).utf8 + [0]).withUnsafeBytes(stream.update)
    }
    let saved = try JSONValue(parsing: try tiny.bytes("run/recipe.resolved.json"))
    let now = try #require(saved["digests"]?["tokenizer"]?.stringValue)
    #expect(now.hasPrefix("content-"))
    try replace("run/recipe.resolved.json", now, "\(stream.digest)")
    _ = try tiny.resume("run", interruption: StopAfter(polls: 16).poll)
    try tiny.resume("run")
    let newest = try CheckpointStore(tiny.folder.path("run/checkpoints")).newestIntact()
    let state = try PosixFileSystem().readAll((newest?.path ?? "") + "/state.json")
    let recorded = try JSONValue(parsing: state)["identity"]?["tokenizer"]?.stringValue
    #expect(recorded == "\(stream.digest)")
  }
}
