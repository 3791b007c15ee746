// A base model with the modules in place that an adapter brings whole.

import QLoRADiagnostics
import QLoRAFormats

extension ModelSource {
  /// Where embedding and head were one and either of them was trained, they are two, as PEFT leaves
  /// them. Heads that tell classes apart are another matter, and stay out.
  ///
  /// - Throws: `adapterMismatch` for tensors that the model has not.
  package func withModules(of adapter: PEFTAdapter) throws -> ModelSource {
    guard !adapter.saved.isEmpty, adapter.config.taskType != PEFTAdapterConfig.classification
    else { return self }
    let shapes = config.savableModules.flatMap(\.tensors)
    let known = Dictionary(shapes.map { ($0.name, $0.shape) }) { $1 }
    let unfit = adapter.saved.filter { known[$0.name] != $0.tensor.shape }.map(\.name).sorted()
    guard unfit.isEmpty else {
      throw Diagnostic(
        .adapterMismatch,
        "the adapter's modules that were trained as a whole do not fit this model: "
          + unfit.prefix(8).joined(separator: ", "), at: .file(path),
        remedy: "use the base model that adapter_config.json names")
    }
    let tables = [config.names.embedding, config.names.head].map { $0 + ".weight" }
    return overlaid(
      by: adapter.saved,
      unties: config.tiesEmbeddings && adapter.saved.contains { tables.contains($0.name) })
  }
}
