// Which tensors of a model folder are weights of linears, and so are quantized, told by names and
// shapes alone: the folder may be of any architecture, with no model file here.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// Chooses as the library that loads the folder would: heads, embeddings and norms stay.
package struct LinearModules {
  /// The kind of model, as config.json tells it.
  private let modelType: String?
  private let isDiffusers: Bool
  private let names: Set<String>
  /// Modules that hold experts, which the library loads as one tensor of three dimensions.
  private let expertHolders: Set<String>
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
    expertHolders = Set(
      names.compactMap { name in
        let parts = name.split(separator: ".")
        return parts.firstIndex(of: "experts").map { parts[..<$0].joined(separator: ".") }
      })
    self.skip = try ModulePatterns(skip)
  }

  /// Models of which the library quantizes no linear, because they are of a class of their own.
  package static let foreignTypes: Set<String> = ["falcon"]

  /// Models some of whose linears keep their weights transposed, and what these are called.
  private static let transposedTypes: Set<String> = [
    "gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp",
  ]
  private static let transposedParts: Set<String> = ["c_attn", "q_attn", "c_proj", "c_fc"]

  /// Whether plain files hold the weight of this linear as `[in, out]`. It is transposed before it
  /// is quantized.
  package static func isTransposed(_ name: String, modelType: String?) -> Bool {
    guard let modelType, transposedTypes.contains(modelType) else { return false }
    return transposedParts.contains { name.hasSuffix(".\($0).weight") }
  }

  /// Families of T5, whose `wo` transformers keeps out of every quantization.
  private static let t5Types: Set<String> = ["t5", "mt5", "umt5", "udop", "pop2piano"]
  /// Parts of time embeddings that diffusers keeps out of every quantization.
  private static let timeParts: Set<String> = [
    "time_embedder", "time_embeddings", "modulation", "visual_modulation", "text_modulation",
  ]
  private static let heads: Set<String> = [
    "lm_head", "embed_out", "output_projection", "score", "vocab_projector", "text_projection",
  ]
  /// Heads that are called `decoder` lie in one of these.
  private static let headHolders: Set<String> = ["lm_head", "predictions"]
  /// How heads end that may be tied to the embedding, and then are in no file.
  private static let tiedHeads = [
    "lm_head", "lm_head.decoder", "predictions.decoder", "proj_out", "vocab_projector",
  ]
  /// Projections without a bias that are called like tables.
  private static let projections: Set<String> = ["context_embedder"]
  private static let tables: Set<String> = [
    "wte", "wpe", "shared", "relative_attention_bias", "tokens_embed", "positions_embed",
  ]

  /// Whether the tensor is to be quantized.
  ///
  /// - Throws: `badModulePattern`.
  package func isQuantized(_ name: String, _ shape: Shape) throws(Diagnostic) -> Bool {
    guard isLinear(name, shape) else { return false }
    return try !skip.matches(String(name.dropLast(".weight".count)))
  }

  private func isLinear(_ name: String, _ shape: Shape) -> Bool {
    guard shape.rank == 2, shape.count > 0, name.hasSuffix(".weight") else { return false }
    let module = String(name.dropLast(".weight".count))
    if modelType == "llama" { return Self.isLinearOfLlama(module) }
    let parts = module.split(separator: ".").map(String.init)
    guard let last = parts.last else { return false }
    if let modelType, Self.t5Types.contains(modelType), last == "wo" { return false }
    if isDiffusers, !Self.timeParts.isDisjoint(with: parts) { return false }
    if !isDiffusers, isHead(parts) || isOfExperts(parts) { return false }
    // Only linears have a bias: it tells a projection into an embedding from a table of them.
    if names.contains(module + ".bias") || Self.projections.contains(last) { return true }
    return !Self.tables.contains(last) && !last.contains("embed") && !last.contains("norm")
  }

  private static let llamaLinears = Set(
    ModelFamily.llama.names.modules.filter(\.role.isLinear).map(\.name))

  private static func isLinearOfLlama(_ module: String) -> Bool {
    let parts = module.split(separator: ".", maxSplits: 3)
    return parts.count == 4 && parts[..<2] == ["model", "layers"] && Int(parts[2]) != nil
      && llamaLinears.contains(String(parts[3]))
  }

  /// What the library keeps as the output's embedding, or as the model's last parameter.
  private func isHead(_ parts: [String]) -> Bool {
    switch parts.last {
    case "decoder": parts.count > 1 && Self.headHolders.contains(parts[parts.count - 2])
    // Of CLIP, whichever comes last; only the whole model has both.
    case "visual_projection": !names.contains("text_projection.weight")
    case let last?: Self.heads.contains(last)
    case nil: false
    }
  }

  private func isOfExperts(_ parts: [String]) -> Bool {
    if parts.contains("experts") { return true }
    return ["gate", "router"].contains(parts.last)
      && expertHolders.contains(parts.dropLast().joined(separator: "."))
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
    let tied = Self.tiedHeads.filter { head in
      // The library takes an entry for a name's beginning or end.
      !names.contains { name in
        let module = name.dropLast(".weight".count)
        return name.hasSuffix(".weight") && isLinear(name, [1, 1])
          && (module.hasSuffix(head) || module.hasPrefix(head + "."))
      }
    }
    return Set(modules + tied).sorted()
  }
}
