// Errors whose remedies a user can follow: what is wrong, by its name, and what helps.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import QLoRARecipe
import TestSupport
import Testing

@Suite struct RemedyTests {
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  private func failure(_ body: () throws -> Void) -> Diagnostic? {
    do {
      try body()
      return nil
    } catch {
      return (error as? Diagnostics)?.all.first ?? error as? Diagnostic
    }
  }

  /// How the base was held is on record beside the adapter.
  @Test(arguments: ["{", "{}", #"{"computeDType": "float32", "quantization": {"type": "nf4"}}"#])
  func aDamagedRecordIsBadData(content: String) throws {
    try tiny.train("run", ["training.steps=1"])
    try tiny.write("run/adapter/qlora.json", content)
    let found = failure { _ = try AdapterFolder.open(tiny.folder.path("run")) }
    #expect(found?.code.number == "E0583" && found?.code.exitCode == .badData)
    #expect("\(String(describing: found))".contains("run/adapter/qlora.json"))
  }

  @Test func anUnfinishedRunIsToBeResumed() throws {
    _ = try tiny.train("run", interruption: StopAfter(polls: 16).poll)
    let run = tiny.folder.path("run")
    let found = failure { try Pipeline.exportAdapter(run, to: tiny.folder.path("out")) }
    #expect(found?.code.number == "E0270" && found?.location == .file(run))
    #expect(found?.remedy?.contains("`qlora resume \(run)`") == true)
    #expect(found?.remedy?.contains("\(run)/checkpoints/step-0000000") == true)
    try tiny.resume("run")
    try Pipeline.exportAdapter(run, to: tiny.folder.path("out"))
  }

  @Test func aBrokenTemplateIsNamedByItsFile() throws {
    try tiny.write("model/chat_template.jinja", "{% if x")
    let found = failure { try tiny.train("run") }
    let file = tiny.folder.path("model/chat_template.jinja")
    #expect(found?.description.hasPrefix("\(file):1:") == true, "\(String(describing: found))")
    try FileManager.default.removeItem(atPath: file)
    let path = "model/tokenizer_config.json"
    let text = String(decoding: try tiny.bytes(path), as: UTF8.self)
    #expect(text.contains("for message"))
    try tiny.write(path, text.replacing("for message", with: "fro message"))
    let other = failure { try tiny.train("run") }
    let place = "chat template of \(tiny.folder.path(path)):"
    #expect(other?.description.hasPrefix(place) == true, "\(String(describing: other))")
  }

  @Test func rowsThatAreCutToNothingAreSaidToBe() throws {
    let found = failure { try tiny.train("run", ["data.maxTokens=8"]) }
    #expect(found?.code.number == "E0409" && found?.remedy == "raise data.maxTokens")
    #expect(found?.message.contains("before their first trained token") == true)
    let dropped = failure {
      try tiny.train("run", ["data.maxTokens=8", "data.overLength=drop"])
    }
    #expect(dropped?.remedy?.contains("\"truncate\"") == true)
  }

  // MARK: Inputs that were moved

  private func resume(_ settings: [String]) throws {
    _ = try Pipeline.resume(
      runDirectory: tiny.folder.path("run"),
      moved: settings.map { try RecipeOverride(moving: $0) }, interruption: { nil }
    ) { _ in }
  }

  @Test func aMovedModelIsNamedToResume() throws {
    try tiny.train("whole")
    _ = try tiny.train("run", interruption: StopAfter(polls: 16).poll)
    let files = FileManager.default
    for (old, new) in [("model", "moved/model"), ("train.jsonl", "moved/train.jsonl")] {
      try files.createDirectory(
        atPath: tiny.folder.path("moved"), withIntermediateDirectories: true)
      try files.moveItem(atPath: tiny.folder.path(old), toPath: tiny.folder.path(new))
    }
    let found = failure { try resume([]) }
    #expect(found?.code.number == "E0112")
    #expect(found?.remedy?.contains("--set model.path=PATH") == true)
    let moved = [
      "model.path=\(tiny.folder.path("moved/model"))",
      "data.train.0.path=\(tiny.folder.path("moved/train.jsonl"))",
    ]
    try resume(moved)
    #expect(try tiny.result("run") == tiny.result("whole"))
    // From now on the run knows.
    try files.removeItem(atPath: tiny.folder.path("run/adapter"))
    try resume([])
    let saved = try JSONValue(parsing: try tiny.bytes("run/recipe.resolved.json"))
    #expect(saved["model"]?["path"]?.stringValue == tiny.folder.path("moved/model"))
  }

  @Test func resumeTakesNothingElse() throws {
    _ = try tiny.train("run", interruption: StopAfter(polls: 16).poll)
    for setting in ["training.seed=1", "digests.model=a", "data.train=[]", "output=x"] {
      #expect(failure { try resume([setting]) }?.code.number == "E0110", "\(setting)")
    }
    try tiny.write("other.jsonl", TinyRun.rows(13, seed: 3))
    let other = failure { try resume(["data.train.0.path=\(tiny.folder.path("other.jsonl"))"]) }
    #expect(other?.code.exitCode == .resumeRefused)
    let saved = try JSONValue(parsing: try tiny.bytes("run/recipe.resolved.json"))
    #expect(saved["data"]?["train"]?.arrayValue?[0]["path"]?.stringValue == tiny.dataPath)
  }
}
