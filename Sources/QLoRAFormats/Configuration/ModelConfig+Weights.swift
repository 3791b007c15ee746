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
    case .query, .crossQuery: return [query, hidden]
    case .key, .value, .crossKey, .crossValue: return [key, hidden]
    case .queryKeyValue: return [query + 2 * key, hidden]
    case .attentionOutput, .crossOutput: return [hidden, query]
    case .queryNorm: return [form.queryKeyNorm == .whole ? query : headDim]
    case .keyNorm: return [form.queryKeyNorm == .whole ? key : headDim]
    case .attentionNorm, .attentionPostNorm, .crossNorm, .mlpNorm, .mlpPostNorm: return [hidden]
    case .gate, .up: return [form.experts?.denseIntermediate ?? intermediate, hidden]
    case .expertGate, .expertUp: return [intermediate, hidden]
    case .gateUp: return [2 * intermediate, hidden]
    case .down: return [hidden, form.experts?.denseIntermediate ?? intermediate]
    case .expertDown: return [hidden, intermediate]
    case .router: return [form.experts?.count ?? 0, hidden]
    }
  }

  /// Whether a module has a bias beside its weight.
  package func hasBias(_ role: WeightRole) -> Bool {
    role.isNorm ? form.form(ofNorm: role) == .layer : form.biases.contains(role)
  }

  /// How many modules of a role a block has, if it has any: one for each expert or head where they
  /// have their own.
  package func count(of role: WeightRole) -> Int {
    switch role {
    case _ where role.isOfExperts: form.experts?.count ?? 0
    case .queryNorm where form.queryKeyNorm == .everyHead: heads
    case .keyNorm where form.queryKeyNorm == .everyHead: kvHeads
    default: 1
    }
  }

  /// Whether a block's tokens have experts to choose from.
  package func hasExperts(inBlock index: Int) -> Bool {
    form.experts.map { !$0.denseLayers.contains(index) } ?? false
  }

  /// Whether a block has modules of a role, of those that its family may have.
  private func has(_ role: WeightRole, inBlock index: Int) -> Bool {
    switch role {
    case .router, .expertGate, .expertUp, .expertDown: hasExperts(inBlock: index)
    case .gate, .up, .down: !hasExperts(inBlock: index)
    case .mlpNorm: !form.sharesNorm
    case .queryNorm, .keyNorm: form.queryKeyNorm != .none
    default: true
    }
  }

  /// Modules of one block: each expert's and each head's by itself.
  package func modules(ofBlock index: Int) -> [(role: WeightRole, name: String)] {
    let stack = stack(ofBlock: index)
    return stack.modules.flatMap { role, name in
      (0..<count(of: role)).map { number in
        (role, stack.block + "." + name.replacing("*", with: "\(number)"))
      }
    }
  }

  /// The name of a block, and its modules: where one stack reads and another writes, the blocks of
  /// the one that reads come first.
  package func stack(
    ofBlock index: Int
  ) -> (block: String, modules: [(role: WeightRole, name: String)]) {
    let names = names
    guard let reader = names.reader, let form = form.reader else {
      return ("\(names.layers)\(index)", names.modules.filter { has($0.role, inBlock: index) })
    }
    let isReading = index < form.layers
    let modules = (isReading ? reader.modules : names.modules).filter {
      $0.role != .gate || form.isGated
    }
    return (
      isReading ? "\(reader.layers)\(index)" : "\(names.layers)\(index - form.layers)",
      // Without a gate there is one linear less, and no number to tell it.
      form.isGated
        ? modules
        : modules.map { ($0.role, $0.role == .up ? String($0.name.dropLast(2)) : $0.name) }
    )
  }

  /// The block and the role of a module by its full name, and which expert's or head's it is; nil
  /// where it is not in a block.
  package func role(of module: String) -> (block: Int, role: WeightRole, number: Int)? {
    let names = names
    let isReading = names.reader.map { module.hasPrefix($0.layers) } ?? false
    let layers = isReading ? names.reader?.layers ?? "" : names.layers
    guard module.hasPrefix(layers) else { return nil }
    let rest = module.dropFirst(layers.count)
    guard let dot = rest.firstIndex(of: "."), let number = Int(rest[..<dot]),
      !isReading || number < form.reader?.layers ?? 0
    else { return nil }
    let block = number + (isReading ? 0 : form.reader?.layers ?? 0)
    let inner = rest[rest.index(after: dot)...]
    for (role, name) in stack(ofBlock: block).modules {
      if inner == name { return (block, role, 0) }
      let parts = name.split(separator: "*", omittingEmptySubsequences: false)
      guard parts.count == 2, inner.hasPrefix(parts[0]), inner.hasSuffix(parts[1]) else { continue }
      if let number = Int(inner.dropFirst(parts[0].count).dropLast(parts[1].count)) {
        return (block, role, number)
      }
    }
    return nil
  }

  /// What PEFT may train as a whole: the embedding, norms and the head, in the order of a forward
  /// pass, each with its tensors.
  package var savableModules: [(module: String, tensors: [(name: String, shape: Shape)])] {
    let names = names
    let table: Shape = [vocabularySize, hidden]
    func tables(_ module: String) -> (module: String, tensors: [(name: String, shape: Shape)]) {
      (module, named(module, table, false))
    }
    let norms = (0..<layers).flatMap { modules(ofBlock: $0) }.filter(\.role.isNorm)
      .map { ($0.name, named($0.name, shape(of: $0.role), hasBias($0.role))) }
    let last = (names.finalNorm, named(names.finalNorm, [hidden], form.norm == .layer))
    // One table serves both stacks and the head, and PEFT takes copies of it apart.
    if let reader = names.reader {
      return norms + [(reader.finalNorm, named(reader.finalNorm, [hidden], false)), last]
    }
    // In memory transformers calls GPT-NeoX's head otherwise than files do, and PEFT goes by that.
    let head = family == .gptNeoX ? [] : [tables(names.head)]
    return [tables(names.embedding)] + norms + [last] + head
  }

  /// Whether a module's full name, such as `model.layers.0.mlp.up_proj`, is that of a linear of a
  /// block.
  package func isLinear(_ module: String) -> Bool {
    role(of: module)?.role.isLinear ?? (module == family.classifier?.pooler)
  }

  /// Elements of the keys and values of one token, in all layers.
  package var keyValueWidth: Int { layers * 2 * kvHeads * headDim }

  /// Weights of the blocks' linears that a token meets: of experts those that it takes.
  package var linearWeightsPerToken: Int {
    (0..<layers).reduce(0) { all, block in
      stack(ofBlock: block).modules.filter(\.role.isLinear).reduce(all) { sum, module in
        let times = module.role.isOfExperts ? form.experts?.chosen ?? 1 : 1
        return sum + times * shape(of: module.role).count
      }
    }
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
    let isAtFront = names.embeddingNorm != nil
    return [(name: names.embedding + ".weight", shape: table)] + (positions ?? [])
      + (types ?? []) + (isAtFront ? norm : []) + blocks + readerShapes + (isAtFront ? [] : norm)
      + head
  }

  /// Of what the stack that reads has beside its blocks, and of the biases by distance.
  private var readerShapes: [(name: String, shape: Shape)] {
    guard let names = names.reader, let reader = form.reader else { return [] }
    let biases: Shape = [reader.buckets, heads]
    return [
      (names.distances.reading + ".weight", biases), (names.distances.writing + ".weight", biases),
      (names.finalNorm + ".weight", [hidden]),
    ]
  }

  private func named(
    _ module: String, _ shape: Shape, _ hasBias: Bool
  ) -> [(name: String, shape: Shape)] {
    [(module + ".weight", shape)] + (hasBias ? [(module + ".bias", [shape[0]])] : [])
  }
}
