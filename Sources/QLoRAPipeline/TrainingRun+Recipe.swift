// What a run puts on record of its recipe and inputs, in its folder and in every checkpoint, and
// how it finds that again.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRARecipe
import QLoRASystem
import QLoRATraining

extension TrainingRun {
  /// The recipe of a run. Where its file is lost or is no JSON any more, the newest intact
  /// checkpoint has it, and it is written again.
  ///
  /// - Parameters:
  ///   - moved: where inputs are now.
  ///   - warn: is told what was wrong with the file.
  /// - Throws: what is wrong with it, where no checkpoint helps.
  static func savedRecipe(
    of run: RunDirectory, moved: [RecipeOverride], warn: (Diagnostic) -> Void
  ) throws -> ResolvedRecipe {
    do {
      return try RecipeLoader.load(path: run.recipePath, overrides: moved)
    } catch {
      let lost: [DiagnosticCode] = [.recipeUnreadable, .recipeSyntax]
      guard let problem = error.all.first(where: { lost.contains($0.code) }),
        let (recipe, checkpoint) = try run.checkpoints.newestRecipe()
      else { throw error }
      warn(
        Diagnostic(
          problem.code,
          "\(problem.message); the recipe is taken from \(FilePath.lastComponent(of: checkpoint))",
          at: problem.location))
      try write(recipe, to: run)
      return try RecipeLoader.load(path: run.recipePath, overrides: moved)
    }
  }

  private static func write(_ recipe: JSONValue, to run: RunDirectory) throws {
    let text = JSONWriter.text(recipe, style: .indented) + "\n"
    try AtomicFile.write(run.recipePath, Array(text.utf8), run.fileSystem)
  }

  func save(_ recipe: Recipe) throws { try Self.write(recipe.recipeJSON, to: run) }

  /// Puts what the inputs are on record, unless an earlier stretch of the run has.
  func record(_ identity: RunIdentity) throws {
    let recorded = recorded(identity)
    if hasMovedInputs || recorded.digests != recipe.recipe.digests { try save(recorded) }
  }

  private func recorded(_ identity: RunIdentity) -> Recipe {
    var recorded = recipe.recipe
    recorded.digests = Dictionary(identity.digests.map { ($0.name, $0.value) }) { $1 }
    return recorded
  }

  func artifacts(
    _ config: PEFTAdapterConfig, _ identity: RunIdentity, device: String
  ) -> CheckpointArtifacts {
    CheckpointArtifacts(
      codec: SafetensorsCodec(), adapterConfiguration: Array(config.fileText().utf8),
      identity: identity.artifacts,
      provenance: [
        .init("tool", ToolVersion.text), .init(CheckpointArtifacts.deviceFact, device),
      ], recipe: recorded(identity).recipeJSON)
  }
}
