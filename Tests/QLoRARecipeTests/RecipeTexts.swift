// Short ways to load a recipe from a text and to see its errors.
import QLoRADiagnostics
import QLoRAJSON
import QLoRARecipe

enum RecipeTexts {
  /// The least that a recipe says.
  static let least = #"{"model":{"path":"m.gguf"},"data":{"train":[{"path":"t.jsonl"}]}}"#

  static func load(
    _ text: String, set settings: [String] = [], environment: [String: String] = [:],
    capabilities: Capabilities = .current
  ) throws -> ResolvedRecipe {
    try RecipeLoader.load(
      bytes: Array(text.utf8), file: "r.json",
      overrides: settings.map { try RecipeOverride(argument: $0) }, environment: environment,
      capabilities: capabilities, workingDirectory: "/nowhere")
  }

  /// The messages of all errors; none where the recipe is right.
  static func problems(
    _ text: String, set settings: [String] = [], environment: [String: String] = [:],
    capabilities: Capabilities = .current
  ) -> [String] {
    do {
      _ = try load(
        text, set: settings, environment: environment, capabilities: capabilities)
      return []
    } catch let problems as Diagnostics {
      return problems.all.map(\.description)
    } catch {
      return ["\(error)"]
    }
  }

  /// The least recipe with a section's members added to it.
  static func with(_ section: String, _ members: String) -> String {
    switch section {
    case "": #"{"model":{"path":"m"},"data":{"train":[{"path":"t"}]},\#(members)}"#
    case "model": #"{"model":{"path":"m",\#(members)},"data":{"train":[{"path":"t"}]}}"#
    case "data": #"{"model":{"path":"m"},"data":{"train":[{"path":"t"}],\#(members)}}"#
    default:
      #"{"model":{"path":"m"},"data":{"train":[{"path":"t"}]},"\#(section)":{\#(members)}}"#
    }
  }
}
