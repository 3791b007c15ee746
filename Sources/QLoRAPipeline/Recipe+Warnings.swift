// What is probably a slip in a recipe and can only be told beside the model.

import QLoRADiagnostics
import QLoRAModels
import QLoRARecipe

extension Recipe {
  /// - Throws: for a pattern that is no regular expression, or finds no end.
  func warnings(about model: DecoderModel) throws -> [Diagnostic] {
    // Never quantized, so naming them is needless and no slip.
    let names = model.config.names
    let modules = model.linears.map(\.name) + [names.head, names.embedding]
    return try ModulePatterns(self.model.quantization.skip).unmatched(among: modules).map {
      Diagnostic(
        .badModulePattern, "model.quantization.skip \"\($0)\" names no linear of this model",
        remedy: "give a whole name, its last part, or an expression for whole names such as "
          + "\".*\\.\($0)\"")
    }
  }
}
