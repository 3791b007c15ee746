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
