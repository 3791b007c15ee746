// Modules of a language model that are trained as a whole beside its adapters: the embedding, the
// head and norms, chosen and named as by PEFT's `modules_to_save`.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// nil where the frozen table is used.
struct TrainedTables: Sendable {
  /// `[vocabulary, hidden]`.
  var embedding: Parameter?
  var head: Parameter?
}

extension ModelConfig {
  /// The modules that a list as `modules_to_save` means: each entry is the end of a name.
  ///
  /// A head that is tied to the embedding counts as a module of its own, as in PEFT: trained, it is
  /// a copy that is tied no longer, and so is an embedding that is trained without its head.
  /// - Throws: `taskUnsupported` for an entry that means nothing, or a linear of a block.
  package func modulesToSave(_ entries: [String]) throws(Diagnostic) -> Set<String> {
    let savable = savableModules.map(\.module)
    var chosen: Set<String> = []
    for entry in entries {
      let found = savable.filter { !entry.isEmpty && $0.hasSuffix(entry) }
      let linear = (0..<layers).lazy.flatMap(modules).map(\.name).first {
        $0.hasSuffix(entry) && !savable.contains($0)
      }
      guard !found.isEmpty, linear == nil else {
        let ends = Set(savable.map { $0.split(separator: ".").last.map(String.init) ?? $0 })
        throw Diagnostic(
          .taskUnsupported,
          "adapter.modulesToSave has \"\(entry)\", "
            + (linear.map { "which is also the linear \($0)" } ?? "which no module's name ends in"),
          remedy: "trained as a whole are " + ends.sorted().joined(separator: ", ")
            + "; linears of blocks get adapters by adapter.targets")
      }
      chosen.formUnion(found)
    }
    return chosen
  }
}

extension DecoderModel {
  /// Parameters of modules that are trained as a whole, in the order of a forward pass.
  var savedParameters: [Parameter] {
    [tables.embedding].compactMap { $0 }
      + norms.flatMap { $0.trained?.parameters ?? [] } + [tables.head].compactMap { $0 }
  }

  /// The same as files name and hold them.
  package var savedTensors: [(name: String, tensor: Tensor)] {
    savedParameters.map { (String($0.name.dropFirst(Self.savedPrefix.count)), $0.value) }
  }

  private static let savedPrefix = "base_model.model."

  /// Every norm in the order of a forward pass.
  private var norms: [Norm] {
    blocks.flatMap(\.norms) + [readerNorm, finalNorm].compactMap { $0 }
  }

  /// The same, to be changed.
  func forEachNorm(_ body: (inout Norm) throws -> Void) rethrows {
    for index in blocks.indices { try blocks[index].forEachNorm(body) }
    try readerNorm.visit(body)
    try finalNorm.visit(body)
  }

  /// Trains these modules from what the base has.
  ///
  /// - Parameters:
  ///   - tensor: memory of a shape that nobody touches, for a backend that only counts.
  /// - Throws: as `ModelConfig.modulesToSave`.
  func trainModules(_ entries: [String], hollow tensor: ((Shape) -> Tensor)? = nil) throws {
    try train(try config.modulesToSave(entries), gradient: tensor) { name, shape, stored in
      tensor?(shape) ?? stored()
    }
  }

  /// Trains the modules that an adapter brings, from its values.
  /// - Throws: `adapterMismatch` for tensors that are none of such modules.
  func trainModules(of adapter: PEFTAdapter) throws {
    let values = Dictionary(adapter.saved.map { ($0.name, $0.tensor) }) { $1 }
    let savable = config.savableModules
    let chosen = savable.filter { module in
      module.tensors.contains { values[$0.name] != nil }
    }
    let wanted = chosen.flatMap(\.tensors)
    let unfit = wanted.filter { values[$0.name]?.shape != $0.shape }.map(\.name)
    let stray = Set(values.keys).subtracting(wanted.map(\.name)).sorted()
    guard unfit.isEmpty, stray.isEmpty else {
      throw Diagnostic(
        .adapterMismatch,
        "the adapter's modules that were trained as a whole do not fit this model: "
          + (unfit + stray).prefix(8).joined(separator: ", "),
        remedy: "use the base model that adapter_config.json names; an adapter that tells classes "
          + "apart is for `qlora classify` or `qlora eval`")
    }
    try train(Set(chosen.map(\.module))) { name, shape, _ in
      values[name].map { Tensor($0.floats(), shape: shape) } ?? Tensor(zeros: shape)
    }
  }

  /// - Parameter value: of a tensor by name and shape; `stored` is the base's own.
  private func train(
    _ modules: Set<String>, gradient: ((Shape) -> Tensor)? = nil,
    _ value: (_ name: String, Shape, _ stored: @escaping () -> Tensor) throws -> Tensor
  ) throws {
    func parameter(
      _ name: String, _ shape: Shape, _ stored: @escaping () -> Tensor
    ) throws -> Parameter {
      let value = try value(name, shape, stored)
      guard value.floatsAreFinite || gradient != nil else {
        throw Diagnostic(.nonFiniteAdapter, "\"\(name)\" holds a NaN or an infinity")
      }
      return Parameter(
        name: Self.savedPrefix + name, value: value,
        gradient: gradient?(shape) ?? Tensor(zeros: shape))
    }
    func table(_ module: String, _ weight: any PreparedWeight) throws -> Parameter? {
      guard modules.contains(module) else { return nil }
      let shape: Shape = [weight.outFeatures, weight.inFeatures]
      return try parameter(module + ".weight", shape) { [self] in decoded(weight, shape) }
    }
    tables.embedding = try table(config.names.embedding, embedding)
    try forEachNorm { norm in
      norm.trained = nil
      guard modules.contains(norm.module) else { return }
      let made = try norm.tensors.map { name, stored in
        try parameter(name, stored.shape) { Tensor(stored.floats(), shape: stored.shape) }
      }
      norm.train { name, _ in made[name.hasSuffix(".bias") ? 1 : 0] }
    }
    tables.head = try table(config.names.head, head)
    parameters += savedParameters
  }

  /// A weight as floats in memory of its own.
  private func decoded(_ weight: any PreparedWeight, _ shape: Shape) -> Tensor {
    let values = Tensor(uninitialized: shape, .float32)
    backend.decode(weight, rows: 0..<shape[0], into: values)
    backend.synchronize()
    return values
  }

  /// Negative log-likelihoods and likeliest tokens by logits of all rows at once.
  func scoreByLogits(
    _ hidden: Tensor, _ batch: TokenBatch
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    var (likelihoods, likeliest) = ([Float](), [Int32]())
    // Few rows at a time, since a vocabulary is wide.
    let step = 32
    for start in stride(from: 0, to: batch.rows.count, by: step) {
      let range = start..<min(start + step, batch.rows.count)
      let picked = backend.allocate([range.count, hidden.shape[1]], hidden.dtype)
      backend.gatherRows(hidden, Array(batch.rows[range]), into: picked)
      let scores = logits(picked)
      backend.synchronize()
      likeliest += Self.mostLikely(scores).map(Int32.init)
      for (index, target) in zip(range, batch.targets[range]) {
        let row = scores.rows(index - start..<index - start + 1)
        likelihoods.append(
          Float(backend.crossEntropy(row, targets: [target], gradient: nil)))
      }
    }
    return (likelihoods, likeliest)
  }
}

extension Tensor {
  fileprivate var floatsAreFinite: Bool {
    withElements(Float.self) { $0.allSatisfy(\.isFinite) }
  }
}
