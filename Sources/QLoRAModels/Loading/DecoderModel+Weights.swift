// The frozen weights of a model by module, as `ModelLoader` takes them back.

import QLoRATensor

extension DecoderModel {
  /// Every matrix once, in the order of loading: the embedding, the head unless it is tied to it,
  /// learned positions, what else encoders have, and those of the blocks.
  package var weightsByModule: [(module: String, weight: any PreparedWeight)] {
    let names = config.names
    var weights: [(module: String, weight: any PreparedWeight)] = [(names.embedding, embedding)]
    if embedding !== head { weights.append((names.head, head)) }
    if let positions, let name = names.positions { weights.append((name, positions)) }
    if let types = encoding?.types, let name = names.tokenTypes { weights.append((name, types)) }
    if let pooler = classifier?.pooler { weights.append((pooler.name, pooler.weight)) }
    return weights + blocks.flatMap(\.weights)
  }
}

extension ModelLoader {
  /// The block that a module's weight belongs to; nil for the embedding and the head.
  package static func block(of module: String) -> Int? {
    let parts = module.split(separator: ".")
    // Which of two stacks comes first is not in a name: such blocks stay in memory.
    if parts.count > 1, parts[1] == "block" { return nil }
    guard let place = parts.firstIndex(where: { ["layers", "h", "layer"].contains($0) }),
      place > 0, place + 1 < parts.count
    else { return nil }
    return Int(parts[place + 1])
  }
}
