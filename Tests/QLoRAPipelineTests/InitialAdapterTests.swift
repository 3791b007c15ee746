// A run that begins with an adapter has that adapter's rank, scale and modules, and says so.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import TestSupport
import Testing

@Suite struct InitialAdapterTests {
  let tiny: TinyRun
  let initial: String

  init() throws {
    tiny = try TinyRun()
    try tiny.train(
      "first",
      ["training.steps=1", "adapter.rank=2", "adapter.alpha=6", #"adapter.targets=["q_proj"]"#])
    initial = "adapter.initializeFrom=\(tiny.folder.path("first"))"
  }

  /// A recipe that names none of the three.
  private func withoutAdapterKeys() throws {
    let old = #""adapter": { "rank": 4, "alpha": 8, "dropout": 0.1 },"#
    #expect(TinyRun.recipe.contains(old))
    try tiny.write("recipe.json", TinyRun.recipe.replacing(old, with: ""))
  }

  @Test func itsValuesGoIntoRecipeAndPlan() throws {
    try withoutAdapterKeys()
    let plan = try Pipeline.plan(try tiny.recipe("planned", [initial]))
    #expect(plan.recipe.recipe.adapter.rank == 2)
    #expect(plan.recipe.recipe.adapter.alpha == 6)
    #expect(plan.recipe.recipe.adapter.targets == .names(["q_proj"]))
    try tiny.train("second", [initial, "training.steps=2"])
    let saved = try JSONValue(parsing: try tiny.bytes("second/recipe.resolved.json"))["adapter"]
    #expect(saved?["rank"]?.intValue == 2 && saved?["alpha"]?.doubleValue == 6)
    #expect(saved?["targets"]?.arrayValue?.map(\.stringValue) == ["q_proj"])
    // What a run has saved is a recipe that says the same.
    try FileManager.default.removeItem(atPath: tiny.folder.path("recipe.json"))
    try FileManager.default.copyItem(
      atPath: tiny.folder.path("second/recipe.resolved.json"), toPath: tiny.recipePath)
    try tiny.train("third")
    #expect(try tiny.result("third") == tiny.result("second"))
  }

  @Test(arguments: [
    ("adapter.rank=4", "adapter.rank is 4, and the adapter of adapter.initializeFrom has 2"),
    ("adapter.alpha=8", "adapter.alpha is 8.0, and the adapter of adapter.initializeFrom has 6.0"),
    ("adapter.targets=all-linear", "adapter.targets names other modules than the 2 of the adapter"),
  ])
  func whatDiffersIsRefused(setting: String, message: String) throws {
    try withoutAdapterKeys()
    let recipe = try tiny.recipe("run", [initial, setting])
    for attempt in [
      { _ = try Pipeline.plan(recipe) }, { _ = try Pipeline.train(recipe) { _ in } },
    ] {
      let error = #expect(throws: (any Error).self) { try attempt() }
      let found = (error as? Diagnostics)?.all.first ?? error as? Diagnostic
      #expect(found?.code.number == "E0108")
      #expect(found?.message.contains(message) == true, "\(String(describing: found))")
      #expect(found?.location == .file("--set \(setting)"))
    }
    #expect(!FileManager.default.fileExists(atPath: tiny.folder.path("run")))
  }

  /// A file that spells out all keys says nothing by their defaults.
  @Test func defaultsOfAFileGiveWay() throws {
    let old = #""adapter": { "rank": 4, "alpha": 8, "dropout": 0.1 },"#
    let whole = #""adapter": { "rank": 16, "alpha": 32, "targets": "all-linear" },"#
    try tiny.write("recipe.json", TinyRun.recipe.replacing(old, with: whole))
    let adapter = try Pipeline.plan(try tiny.recipe("run", [initial])).recipe.recipe.adapter
    #expect(adapter.rank == 2 && adapter.alpha == 6 && adapter.targets == .names(["q_proj"]))
  }

  /// The same values may be repeated, however they are written.
  @Test(arguments: [
    "adapter.rank=2", "adapter.alpha=6", #"adapter.targets=".*q_proj""#,
  ])
  func whatAgreesMayBeSaid(setting: String) throws {
    try withoutAdapterKeys()
    try tiny.train("run", [initial, setting, "training.steps=1"])
  }
}
