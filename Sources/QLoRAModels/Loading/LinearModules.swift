// Which tensors of a model folder are weights of linears, and so are quantized, told by names and
// shapes alone: the folder may be of any architecture, with no model file here.

import QLoRATensor

/// Chooses as the library that loads the folder would: heads, embeddings and norms stay.
package struct LinearModules {
  /// The kind of model, as config.json tells it.
  private let modelType: String?
  private let isDiffusers: Bool
  private let names: Set<String>
  private let skip: ModulePatterns

  /// - Parameters:
  ///   - modelType: `model_type` of config.json.
  ///   - isDiffusers: whether config.json is one of diffusers, which has a `_class_name` instead.
  ///   - names: of all tensors.
  ///   - skip: as in `ModulePatterns`.
  package init(
    modelType: String?, isDiffusers: Bool, names: [String], skip: [String]
  ) throws {
    self.modelType = modelType
    self.isDiffusers = isDiffusers
    self.names = Set(names)
    self.skip = try ModulePatterns(skip)
  }

  /// Models whose linears keep their weights transposed, as `[in, out]`.
  package static let transposedTypes: Set<String> = [
    "gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp",
  ]

  /// Families of T5, whose `wo` transformers keeps out of every quantization.
  private static let t5Types: Set<String> = ["t5", "mt5", "umt5", "udop", "pop2piano"]
  /// Parts of time embeddings that diffusers keeps out of every quantization.
  private static let timeParts: Set<String> = [
    "time_embedder", "time_embeddings", "modulation", "visual_modulation", "text_modulation",
  ]
  private static let heads: Set<String> = [
    "lm_head", "embed_out", "output_projection", "score", "predictions",
  ]
  private static let tables: Set<String> = [
    "wte", "wpe", "shared", "relative_attention_bias", "tokens_embed", "positions_embed",
  ]

  /// Whether the tensor is to be quantized.
  package func isQuantized(_ name: String, _ shape: Shape) -> Bool {
    isLinear(name, shape) && !skip.matches(String(name.dropLast(".weight".count)))
  }

  private func isLinear(_ name: String, _ shape: Shape) -> Bool {
    guard shape.rank == 2, shape.count > 0, name.hasSuffix(".weight") else { return false }
    let module = String(name.dropLast(".weight".count))
    if modelType == "llama" { return LlamaBlock.isLinear(module) }
    let parts = module.split(separator: ".").map(String.init)
    guard let last = parts.last else { return false }
    if let modelType, Self.t5Types.contains(modelType), last == "wo" { return false }
    if isDiffusers, !Self.timeParts.isDisjoint(with: parts) { return false }
    if !isDiffusers, !Self.heads.isDisjoint(with: parts) { return false }
    // Only linears have a bias: it tells a projection into an embedding from a table of them.
    if names.contains(module + ".bias") { return true }
    return !Self.tables.contains(last) && !last.contains("embed") && !last.contains("norm")
  }

  /// What `llm_int8_skip_modules` has to say, so that the library leaves exactly those modules
  /// alone that were left here; nil where it finds them by itself.
  ///
  /// - Parameter kept: matrices that were not quantized.
  package func skippedModules(_ kept: [(name: String, shape: Shape)]) -> [String]? {
    let matrices = kept.filter { $0.shape.rank == 2 && $0.name.hasSuffix(".weight") }
    let modules = matrices.map { String($0.name.dropLast(".weight".count)) }
    let knowsHead = modelType.map { $0 == "llama" || Self.t5Types.contains($0) } ?? false
    let wasAsked = matrices.contains { isLinear($0.name, $0.shape) }
    if isDiffusers { return modules.isEmpty ? nil : modules.sorted() }
    if knowsHead, !wasAsked { return nil }
    // A list of one's own replaces the library's, and a tied head has no tensor to be listed by.
    return Set(modules + ["lm_head"]).sorted()
  }
}
