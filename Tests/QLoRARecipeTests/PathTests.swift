// Where relative paths point to, and what is said about inputs that are not there.
import Foundation
import QLoRADiagnostics
import QLoRARecipe
import TestSupport
import Testing

@Suite struct PathTests {
  private func folder(_ files: [String]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for file in files {
      let url = folder.url.appending(path: file)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(RecipeTexts.least.utf8).write(to: url)
    }
    return folder
  }

  private func load(_ folder: TemporaryFolder, requiresInputs: Bool = false) throws
    -> ResolvedRecipe
  {
    try RecipeLoader.load(
      path: folder.path("recipes/r.json"), requiresInputs: requiresInputs,
      workingDirectory: folder.path("work"))
  }

  @Test func inputsComeFromTheRecipesFolderFirst() throws {
    let folder = try folder(["recipes/r.json", "recipes/m.gguf", "work/m.gguf", "work/t.jsonl"])
    let recipe = try load(folder, requiresInputs: true).recipe
    #expect(recipe.model.path == folder.path("recipes/m.gguf"))
    #expect(recipe.data.train[0].path == folder.path("work/t.jsonl"))
    #expect(recipe.output == folder.path("work/runs/r"))
    #expect(recipe.name == "r")
  }

  /// What is on no path may be in the hub's cache; nothing is fetched.
  @Test func modelsAndRowsMayBeNamesOnTheHub() throws {
    let commit = String(repeating: "a1", count: 20)
    let folder = try folder([
      "recipes/r.json", "hub/models--org--tiny/snapshots/\(commit)/config.json",
      "hub/datasets--org--rows/snapshots/\(commit)/t.jsonl",
    ])
    for name in ["models--org--tiny", "datasets--org--rows"] {
      let refs = folder.url.appending(path: "hub/\(name)/refs")
      try FileManager.default.createDirectory(at: refs, withIntermediateDirectories: true)
      try Data(commit.utf8).write(to: refs.appending(path: "main"))
    }
    func load(_ model: String, _ rows: String) throws -> Recipe {
      try RecipeLoader.load(
        path: folder.path("recipes/r.json"),
        overrides: [
          RecipeOverride(argument: "model.path=\(model)"),
          RecipeOverride(argument: "data.train.0.path=\(rows)"),
        ], environment: ["HF_HUB_CACHE": folder.path("hub")], requiresInputs: true,
        workingDirectory: folder.path("work")
      ).recipe
    }
    let recipe = try load("org/tiny", "hf://datasets/org/rows/t.jsonl")
    #expect(recipe.model.path == folder.path("hub/models--org--tiny/snapshots/\(commit)"))
    #expect(recipe.data.train[0].path.hasSuffix("/snapshots/\(commit)/t.jsonl"))
    let missing = #expect(throws: Diagnostics.self) {
      try load("org/other", "hf://datasets/org/rows/u.jsonl")
    }
    let remedies = (missing?.all ?? []).map { $0.remedy ?? "" }
    #expect(remedies.count == 2 && remedies[0].contains("`qlora download org/other`"))
    #expect(remedies.contains { $0.contains("`qlora download org/rows --dataset --include") })
  }

  @Test func everyMissingInputIsNamed() throws {
    let folder = try folder(["recipes/r.json"])
    let recipe = folder.path("recipes/r.json")
    let resolved = try load(folder)
    #expect(resolved.recipe.model.path == "m.gguf")
    let problems = try #require(throws: Diagnostics.self) { try load(folder, requiresInputs: true) }
    let places = "\(folder.path("recipes")) nor in \(folder.path("work"))"
    #expect(
      problems.all.map(\.description) == [
        "\(recipe):1:11: error[E0112]: model.path: \"m.gguf\" does not exist in \(places); "
          + "correct the path, or give another one with --set model.path=PATH",
        "\(recipe):1:46: error[E0112]: data.train.0.path: \"t.jsonl\" does not exist in \(places); "
          + "correct the path, or give another one with --set data.train.0.path=PATH",
      ])
  }

  @Test func aSavedRecipeMeansTheSameFromAnyFolder() throws {
    let folder = try folder(["recipes/r.json", "recipes/m.gguf", "recipes/t.jsonl"])
    let first = try load(folder, requiresInputs: true)
    let again = try RecipeLoader.load(
      bytes: Array(first.text.utf8), file: "/elsewhere/recipe.resolved.json",
      requiresInputs: true, workingDirectory: "/")
    #expect(again.recipe == first.recipe)
  }
}
