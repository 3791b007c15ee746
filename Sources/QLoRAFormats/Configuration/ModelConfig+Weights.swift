// Names and shapes of all weights of a model, from its configuration and its family's table.
import QLoRATensor

extension ModelConfig {
  /// What files call the modules.
  package var names: FamilyNames {
    var names = family.names
    guard let holder else { return names }
    func inside(_ name: String) -> String {
      "model.\(holder)." + name.dropFirst("model.".count)
    }
    names.embedding = inside(names.embedding)
    names.finalNorm = inside(names.finalNorm)
    names.layers = inside(names.layers)
    return names
  }

  /// `[out, in]` of a linear, `[width]` of a norm; of one expert where there are several.
  package func shape(of role: WeightRole) -> Shape {
    let (query, key) = (heads * headDim, kvHeads * headDim)
    switch role {
    case .query: return [query, hidden]
    case .key, .value: return [key, hidden]
    case .queryKeyValue: return [query + 2 * key, hidden]
    case .attentionOutput: return [hidden, query]
    case .queryNorm: return [form.queryKeyNorm == .whole ? query : headDim]
    case .keyNorm: return [form.queryKeyNorm == .whole ? key : headDim]
    case .attentionNorm, .attentionPostNorm, .mlpNorm, .mlpPostNorm: return [hidden]
    case .gate, .up, .expertGate, .expertUp: return [intermediate, hidden]
    case .gateUp: return [2 * intermediate, hidden]
    case .down, .expertDown: return [hidden, intermediate]
    case .router: return [form.experts?.count ?? 0, hidden]
    }
  }

  /// Whether a module has a bias beside its weight.
  package func hasBias(_ role: WeightRole) -> Bool {
    role.isNorm ? form.norm == .layer : form.biases.contains(role)
  }

  /// Modules of one block: each expert's by itself.
  package func modules(ofBlock index: Int) -> [(role: WeightRole, name: String)] {
    let names = names
    return names.modules.filter { $0.role != .mlpNorm || !form.sharesNorm }.flatMap { role, name in
      (role.isOfExperts ? Array(0..<(form.experts?.count ?? 0)) : [0]).map { expert in
        (role, "\(names.layers)\(index)." + name.replacing("*", with: "\(expert)"))
      }
    }
  }

  /// The block and the role of a module by its full name; nil where it is not in a block.
  package func role(of module: String) -> (block: Int, role: WeightRole, expert: Int)? {
    let names = names
    guard module.hasPrefix(names.layers) else { return nil }
    let rest = module.dropFirst(names.layers.count)
    guard let dot = rest.firstIndex(of: "."), let block = Int(rest[..<dot]) else { return nil }
    let inner = rest[rest.index(after: dot)...]
    for (role, name) in names.modules {
      guard role.isOfExperts else {
        if inner == name { return (block, role, 0) }
        continue
      }
      let parts = name.split(separator: "*")
      if inner.hasPrefix(parts[0]), inner.hasSuffix(parts[1]),
        let expert = Int(inner.dropFirst(parts[0].count).dropLast(parts[1].count))
      {
        return (block, role, expert)
      }
    }
    return nil
  }

  /// Whether a module's full name, such as `model.layers.0.mlp.up_proj`, is that of a linear of a
  /// block.
  package func isLinear(_ module: String) -> Bool {
    role(of: module)?.role.isLinear ?? (module == family.classifier?.pooler)
  }

  /// Weights of the blocks' linears that a token meets: of experts those that it takes.
  package var linearWeightsPerToken: Int {
    names.modules.filter(\.role.isLinear).reduce(0) { sum, module in
      let times = module.role.isOfExperts ? form.experts?.chosen ?? 1 : 1
      return sum + times * shape(of: module.role).count
    } * layers
  }

  /// Names and shapes of all weights, as Hugging Face folders call them, in the order in which
  /// llama.cpp lists them; linears as `[out, in]` whatever the files have.
  package var weightShapes: [(name: String, shape: Shape)] {
    let names = names
    let table: Shape = [vocabularySize, hidden]
    let places: Shape = [maxPositions, hidden]
    let positions = names.positions.map { [(name: $0 + ".weight", shape: places)] }
    let head = tiesEmbeddings ? [] : [(name: names.head + ".weight", shape: table)]
    let blocks = (0..<layers).flatMap { layer in
      modules(ofBlock: layer).flatMap { named($0.name, shape(of: $0.role), hasBias($0.role)) }
    }
    let types = names.tokenTypes.map {
      [(name: $0 + ".weight", shape: [form.tokenTypes, hidden] as Shape)]
    }
    let norm = named(names.embeddingNorm ?? names.finalNorm, [hidden], form.norm == .layer)
    return [(name: names.embedding + ".weight", shape: table)] + (positions ?? [])
      + (types.map { $0 + norm } ?? []) + blocks + (types == nil ? norm : []) + head
  }

  private func named(
    _ module: String, _ shape: Shape, _ hasBias: Bool
  ) -> [(name: String, shape: Shape)] {
    [(module + ".weight", shape)] + (hasBias ? [(module + ".bias", [shape[0]])] : [])
  }
}
