// Names of tensors in GGUF and in Hugging Face folders, from the tables of the families.

package enum GGUFNames {
  /// The tensors of a folder that one tensor of GGUF holds: one, or one for each expert; empty for
  /// unknown names.
  static func huggingFace(_ name: String, _ config: ModelConfig) -> [String] {
    let names = config.names
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let kind = parts.last, kind == "weight" || kind == "bias" else { return [] }
    if parts.count == 2 {
      return outer(names).first { $0.gguf == parts[0] }.map { ["\($0.module).\(kind)"] } ?? []
    }
    guard parts.count == 4, parts[0] == "blk", let layer = Int(parts[1]),
      let module = names.modules.first(where: { $0.role.gguf == parts[2] })
    else { return [] }
    let count = module.role.isOfExperts ? config.form.experts?.count ?? 0 : 1
    return (0..<count).map { expert in
      "\(names.layers)\(layer)." + module.name.replacing("*", with: "\(expert)") + ".\(kind)"
    }
  }

  /// The other way round; nil for unknown names and for experts, of which GGUF has one tensor for
  /// all.
  package static func gguf(_ name: String, _ config: ModelConfig) -> String? {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let (module, kind) = (String(name[..<dot]), name[dot...])
    guard kind == ".weight" || kind == ".bias" else { return nil }
    if let outer = outer(config.names).first(where: { $0.module == module }) {
      return outer.gguf + kind
    }
    guard let (layer, role, _) = config.role(of: module), !role.isOfExperts else { return nil }
    return "blk.\(layer).\(role.gguf)\(kind)"
  }

  private static func outer(_ names: FamilyNames) -> [(gguf: String, module: String)] {
    let plain = [
      ("token_embd", names.embedding), ("output_norm", names.finalNorm), ("output", names.head),
    ]
    return plain + (names.positions.map { [("position_embd", $0)] } ?? [])
  }
}
