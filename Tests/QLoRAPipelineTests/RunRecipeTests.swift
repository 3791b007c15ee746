// The resolved recipe of a run: in its folder and in every checkpoint, so that one may get lost.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite struct RunRecipeTests {
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  @Test(arguments: [nil, "", "{\"name\": \"ru"])
  func aLostRecipeIsTakenFromTheCheckpoint(content: String?) throws {
    try tiny.train("whole")
    _ = try tiny.train("run", interruption: StopAfter(polls: 16).poll)
    let saved = try tiny.bytes("run/recipe.resolved.json")
    let path = tiny.folder.path("run/recipe.resolved.json")
    try FileManager.default.removeItem(atPath: path)
    if let content { try tiny.write("run/recipe.resolved.json", content) }
    var warnings: [Diagnostic] = []
    try tiny.resume(
      "run",
      events: {
        if case .training(.warning(let diagnostic)) = $0 { warnings.append(diagnostic) }
      })
    #expect(warnings.map(\.code.number) == [content == nil ? "E0100" : "E0101"])
    #expect(warnings.first?.message.contains("step-0000000") == true)
    #expect(try tiny.result("run") == tiny.result("whole"))
    #expect(try tiny.bytes("run/recipe.resolved.json") == saved)
  }

  /// What is JSON and no recipe was written by somebody, who is told so.
  @Test func aWrongRecipeStaysWrong() throws {
    try tiny.train("run", ["training.steps=1"])
    try tiny.write("run/recipe.resolved.json", "{\"lora_r\": 3}")
    #expect(throws: Diagnostics.self) { try tiny.resume("run") }
    #expect(try tiny.bytes("run/recipe.resolved.json") == Array("{\"lora_r\": 3}".utf8))
  }

  @Test func everyCheckpointHasTheResolvedRecipe() throws {
    try tiny.train("run")
    let store = CheckpointStore(tiny.folder.path("run/checkpoints"))
    let saved = try JSONValue(parsing: try tiny.bytes("run/recipe.resolved.json"))
    for step in try store.steps() {
      let state = try PosixFileSystem().readAll(store.path(step: step) + "/state.json")
      let recipe = try #require(try JSONValue(parsing: state)["recipe"])
      #expect(JSONWriter.text(recipe) == JSONWriter.text(saved))
      #expect(recipe["digests"]?["tokenizer"]?.stringValue?.isEmpty == false)
    }
  }
}
