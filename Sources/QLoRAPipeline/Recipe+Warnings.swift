// What is probably a slip in a recipe and can only be told beside the model.

import QLoRADiagnostics
import QLoRAModels
import QLoRARecipe

extension Recipe {
  /// - Parameter model: with its adapters.
  /// - Throws: for a pattern that is no regular expression, or finds no end.
  package func warnings(about model: DecoderModel) throws -> [Diagnostic] {
    try needlessSkips(model) + [denseAmongExperts(model)].compactMap { $0 }
  }

  private func needlessSkips(_ model: DecoderModel) throws -> [Diagnostic] {
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

  /// PEFT stacks the MLPs of all layers where one has experts, those without experts too, and then
  /// finds no place for their adapters.
  private func denseAmongExperts(_ model: DecoderModel) -> Diagnostic? {
    guard let dense = model.config.form.experts?.denseLayers, !dense.isEmpty else { return nil }
    let roles = ["gate_proj", "up_proj", "down_proj"]
    let adapted = model.linears.first { linear in
      linear.adapter != nil
        && roles.contains { role in linear.name.hasSuffix(".mlp." + role) }
    }
    return adapted.map {
      Diagnostic(
        .adapterNotPortable,
        "PEFT does not load the adapter of \($0.name), whose layer has no experts where others do",
        remedy: #"for PEFT, set adapter.targets to "#
          + #"[".*\.([qkvo]_proj|experts\.\d+\.(gate|up|down)_proj)"]"#)
    }
  }
}
