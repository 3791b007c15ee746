// The frozen weights of a model by module, as `ModelLoader` takes them back.

import QLoRATensor

extension LlamaModel {
  /// Every matrix once: the embedding, the head unless it is tied to it, and the linears.
  package var weightsByModule: [(module: String, weight: any PreparedWeight)] {
    let head: [(String, any PreparedWeight)] =
      embedding === head ? [] : [(ModelLoader.headModule, head)]
    return [(ModelLoader.embeddingModule, embedding)] + head + linears.map { ($0.name, $0.weight) }
  }
}

extension ModelLoader {
  /// The block that a module's weight belongs to; nil for the embedding and the head.
  package static func block(of module: String) -> Int? {
    let parts = module.split(separator: ".")
    return parts.count > 2 && parts[1] == "layers" ? Int(parts[2]) : nil
  }
}
