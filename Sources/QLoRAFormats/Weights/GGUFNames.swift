// Names of tensors in GGUF and in Hugging Face folders, from the tables of the families.

package enum GGUFNames {
  /// The tensors of a folder that one tensor of GGUF holds: one, or one for each expert or head,
  /// and whether those are stacked in it; none for unknown names.
  static func huggingFace(
    _ name: String, _ config: ModelConfig
  ) -> (tensors: [String], areStacked: Bool) {
    let names = config.names
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let kind = parts.last, kind == "weight" || kind == "bias" else { return ([], false) }
    if parts.count == 2 {
      let module = outer(names).first { $0.gguf == parts[0] }?.module
      return (module.map { ["\($0).\(kind)"] } ?? [], false)
    }
    guard parts.count == 4, parts[0] == "blk", let layer = Int(parts[1]),
      let module = config.stack(ofBlock: layer).modules.first(where: {
        $0.role.gguf(config.family) == parts[2]
      })
    else { return ([], false) }
    let found = (0..<config.count(of: module.role)).map { number in
      "\(names.layers)\(layer)." + module.name.replacing("*", with: "\(number)") + ".\(kind)"
    }
    return (found, module.name.contains("*"))
  }

  /// The other way round; nil for unknown names. Experts and heads have one tensor together.
  package static func gguf(_ name: String, _ config: ModelConfig) -> String? {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let (module, kind) = (String(name[..<dot]), name[dot...])
    guard kind == ".weight" || kind == ".bias" else { return nil }
    if let outer = outer(config.names).first(where: { $0.module == module }) {
      return outer.gguf + kind
    }
    guard let (layer, role, _) = config.role(of: module) else { return nil }
    return "blk.\(layer).\(role.gguf(config.family))\(kind)"
  }

  /// How many tensors of a folder lie in one of GGUF, one for each expert or head; nil where there
  /// is one alone.
  package static func stackCount(_ name: String, _ config: ModelConfig) -> Int? {
    guard let dot = name.lastIndex(of: "."),
      let (_, role, _) = config.role(of: String(name[..<dot])),
      config.names.name(role)?.contains("*") == true
    else { return nil }
    return config.count(of: role)
  }

  private static func outer(_ names: FamilyNames) -> [(gguf: String, module: String)] {
    let plain = [
      ("token_embd", names.embedding), ("output_norm", names.finalNorm), ("output", names.head),
    ]
    return plain + (names.positions.map { [("position_embd", $0)] } ?? [])
  }
}
