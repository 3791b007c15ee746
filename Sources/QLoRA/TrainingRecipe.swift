// A recipe as a value of a Swift program: the same keys and the same checks as a file's.
import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import QLoRARecipe

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What to train on what, key by key as in a recipe file.
///
/// Keys have dots: `training.optimizer.learningRate`. Which there are, and what they take, is in
/// the recipe's reference; a wrong one is told when the recipe is used, with all other mistakes.
public struct TrainingRecipe: Sendable {
  private enum Origin: Sendable {
    case file(String)
    case model(String, name: String)
  }

  private let origin: Origin
  private var settings: [RecipeOverride] = []

  /// A recipe file, to which inputs are relative.
  ///
  /// - Parameter file: its path.
  public init(file: String) {
    origin = .file(file)
  }

  /// A recipe of its own; inputs are relative to the working directory.
  ///
  /// - Parameters:
  ///   - model: a folder with config.json and safetensors, a GGUF file, or `ORG/NAME` of the hub
  ///     that `qlora download` has fetched.
  ///   - rows: files of rows to train on.
  ///   - format: what the rows are.
  ///   - name: of the run, which goes to `runs/NAME` unless `output` is set.
  public init(model: String, rows: [String], format: RowFormat = .messages, name: String) {
    origin = .model(model, name: name)
    let sources = rows.map { path in
      JSONValue.dictionary([("path", .string(path)), ("format", .string(format.rawValue))])
    }
    set("data.train", to: .list(sources))
  }

  /// Sets a key, whatever it was: `recipe.set("adapter.rank", to: 16)`.
  ///
  /// - Parameters:
  ///   - key: with dots, as `training.optimizer.learningRate`.
  ///   - value: what a recipe file would say.
  public mutating func set(_ key: String, to value: JSONValue) {
    settings.append(RecipeOverride(key, value, spelled: key))
  }

  /// - Throws: `Diagnostics` with every mistake in it.
  public func check() throws(Diagnostics) {
    _ = try resolved()
  }

  /// Those that say where the hub's cache is. A program sets its keys itself: variables that change
  /// recipes are the command's.
  private static var hubVariables: [String: String] {
    ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("QLORA_") }
  }

  func resolved() throws(Diagnostics) -> ResolvedRecipe {
    switch origin {
    case .file(let path):
      return try RecipeLoader.load(
        path: path, overrides: settings, environment: Self.hubVariables, requiresInputs: true)
    case .model(let model, let name):
      let base = JSONValue.dictionary([
        ("name", .string(name)), ("model", .dictionary([("path", .string(model))])),
      ])
      return try RecipeLoader.load(
        bytes: Array(JSONWriter.text(base).utf8), file: name, overrides: settings,
        environment: Self.hubVariables, requiresInputs: true)
    }
  }
}
