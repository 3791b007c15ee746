// A recipe with every value filled in, knowing who decided each one; what a run saves and what the
// pipeline builds from.
import QLoRADiagnostics
import QLoRAHub
import QLoRAJSON

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

package struct ResolvedRecipe: Sendable {
  /// Every value; input paths and `output` are absolute.
  package let recipe: Recipe
  /// The file's path as it was given; nil where the recipe was made in memory.
  package let file: String?
  /// Who decided each value that is not at its default, by dotted path.
  let origins: [String: FieldOrigin]
  /// Where inputs are looked up, in order.
  let inputFolders: [String]

  /// The canonical form: decoding it gives this recipe again.
  package var jsonValue: JSONValue { recipe.recipeJSON }

  /// The text of `recipe.resolved.json`.
  package var text: String { JSONWriter.text(jsonValue, style: .indented) + "\n" }

  /// The same run into another folder, however long it takes.
  package func withoutLimit(writingTo output: String) -> ResolvedRecipe {
    changed { recipe in
      recipe.output = output
      recipe.training.maxWallTime = nil
    }
  }

  /// With values that its inputs decide; who decided the others stays known.
  package func changed(_ change: (inout Recipe) -> Void) -> ResolvedRecipe {
    var recipe = recipe
    change(&recipe)
    return ResolvedRecipe(
      recipe: recipe, file: file, origins: origins, inputFolders: inputFolders)
  }

  package func origin(of path: String) -> FieldOrigin { origins[path] ?? .default }

  /// Whether somebody chose a key's value: a file that is written out whole names every key, and
  /// means nothing by those that are at their defaults.
  package func decides(_ path: String) -> Bool {
    let origin = origin(of: path)
    if origin.rank > FieldOrigin.fileRank { return true }
    if origin == .default { return false }
    let value = path.split(separator: ".").reduce(recipe.recipeJSON as JSONValue?) {
      $0?[String($1)]
    }
    return value != FieldSchema.recipe.find(path)?.assumedValue
  }

  /// What contradicts an input that has the last word.
  ///
  /// - Returns: nil where the recipe does not decide the key.
  package func contradiction(
    of path: String, _ message: String, remedy: String
  ) -> Diagnostic? {
    guard decides(path) else { return nil }
    return Diagnostic(
      .recipeContradiction, message, at: origin(of: path).location, remedy: remedy)
  }

  /// An error for every input that the recipe names and that does not exist.
  package func missingInputs() -> [Diagnostic] {
    var inputs = [("model.path", recipe.model.path)]
    if let path = recipe.adapter.initializeFrom { inputs.append(("adapter.initializeFrom", path)) }
    for (index, source) in recipe.data.train.enumerated() {
      inputs.append(("data.train.\(index).path", source.path))
    }
    for (index, source) in recipe.data.validation.enumerated() {
      inputs.append(("data.validation.\(index).path", source.path))
    }
    let absent = inputs.filter { _, path in
      !path.isEmpty && !FileManager.default.fileExists(atPath: path)
    }
    return absent.map { key, path in
      let places =
        path.hasPrefix("/") ? "" : " in \(inputFolders.joined(separator: " nor in "))"
      return Diagnostic(
        .recipeInputMissing, "\(key): \"\(path)\" does not exist\(places)",
        at: origins[key]?.location, remedy: remedy(for: key, path))
    }
  }

  private func remedy(for key: String, _ path: String) -> String {
    if key == "model.path", path.hasSuffix("Models/SmolLM2-135M-Instruct.Q4_1.gguf") {
      return "`Scripts/fetch-smollm2.sh` fetches it"
    }
    let isModel = ["model.path", "adapter.initializeFrom"].contains(key)
    let isNamed = path.hasPrefix(HubReference.scheme)
    if isModel || isNamed, let reference = HubReference(path),
      isNamed || !reference.isProbablyPath
    {
      return "correct the path; from the hub `\(reference.downloadCommand)` fetches it"
    }
    return "correct the path, or give another one with --set \(key)=PATH"
  }
}
