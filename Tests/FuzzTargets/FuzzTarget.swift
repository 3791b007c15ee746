// What the fuzzers feed: one function for each kind of file that may come from somebody else. Any
// bytes must end in a value or a diagnostic; a trap, a hang or a broken promise is a finding.
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRARecipe
import QLoRAServing
import QLoRASystem
import QLoRAText
import TestSupport

package enum FuzzTarget: String, CaseIterable, Sendable {
  case safetensors, gguf, tokenizer, pieces, template, recipe, rows, table, container, manifest
  case request

  /// Feeds one input; says whether it was accepted.
  @discardableResult
  package func run(_ input: [UInt8]) -> Bool {
    do {
      switch self {
      case .safetensors: try FuzzFiles.safetensors(input)
      case .gguf: try FuzzFiles.gguf(input)
      case .tokenizer: try FuzzTexts.tokenizer(input)
      case .pieces: try FuzzTexts.pieces(input)
      case .template: try FuzzTexts.template(input)
      case .recipe: try recipe(input)
      case .rows: try FuzzRows.shared.run(input)
      case .table: try FuzzContainers.table(input)
      case .container: try FuzzContainers.container(input)
      case .manifest: try manifest(input)
      case .request: try FuzzRequests.shared.run(input)
      }
      return true
    } catch is Diagnostic {
      return false
    } catch is Diagnostics {
      return false
    } catch is APIError {
      return false
    } catch {
      preconditionFailure("\(self) threw something else than a diagnostic: \(error)")
    }
  }

  private func recipe(_ input: [UInt8]) throws {
    let recipe = try RecipeLoader.load(
      bytes: input, file: "recipe.json", environment: [:], workingDirectory: "/nowhere")
    // What was resolved must read back as itself.
    _ = try RecipeLoader.load(
      bytes: Array(recipe.text.utf8), file: "recipe.json", environment: [:],
      workingDirectory: "/nowhere")
  }

  private func manifest(_ input: [UInt8]) throws {
    let manifest = try CheckpointManifest(parsing: input, file: "MANIFEST.json")
    precondition(Array(manifest.text.utf8) == input, "a manifest of other bytes was accepted")
    precondition(manifest.entries.allSatisfy { CheckpointManifest.isPlainName($0.name) })
  }
}

/// The bytes before the first zero byte, and those after it.
func halves(_ input: [UInt8]) -> (first: ArraySlice<UInt8>, second: ArraySlice<UInt8>) {
  let cut = input.firstIndex(of: 0) ?? input.endIndex
  return (input[..<cut], input[min(cut + 1, input.endIndex)...])
}
