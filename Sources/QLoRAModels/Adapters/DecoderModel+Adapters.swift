// Putting adapters on a model, filling them from a file, and naming them as PEFT does.

import QLoRADiagnostics
import QLoRAFormats
import QLoRARandom
import QLoRATensor

extension DecoderModel {
  /// Every linear of the blocks, in module order, and the pooler in front of a head.
  package var linears: [AdaptedLinear] {
    blocks.flatMap(\.linears) + (classifier?.pooler.map { [$0] } ?? [])
  }

  /// The same, to be changed.
  func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    for index in blocks.indices { try blocks[index].forEachLinear(body) }
    if var pooler = classifier?.pooler {
      try body(&pooler)
      classifier?.pooler = pooler
    }
  }

  /// Gives each target a fresh adapter: A uniform in ±1/√in (Kaiming with a = √5, as PEFT), B zero.
  /// - Throws: `noTarget` where the targets name no linear.
  package func addAdapters(_ options: AdapterOptions) throws {
    let selected = try targetNames(options.targets)
    let scale = Float(options.alpha / Double(options.rank))
    attach(dropout: options.dropout) { linear in
      guard selected.contains(linear.name) else { return nil }
      let bound = 1 / Float(linear.weight.inFeatures).squareRoot()
      var random = SplitMix64(seed: options.seed, name: linear.name)
      let count = options.rank * linear.weight.inFeatures
      let values = (0..<count).map { _ in (2 * Float(random.unit()) - 1) * bound }
      return (
        a: Tensor(values, shape: [options.rank, linear.weight.inFeatures]),
        b: Tensor(zeros: [linear.weight.outFeatures, options.rank]), scale: scale
      )
    }
    addHead { classifier, name, shape in
      classifier.initialValue(name, shape, seed: options.seed)
    }
    try trainModules(options.modulesToSave)
  }

  /// Gives each target an adapter without values, for a backend that only counts.
  /// - Parameter tensor: float32 memory of a shape.
  /// - Throws: `noTarget` where the targets name no linear.
  package func addHollowAdapters(
    _ options: AdapterOptions, tensor: (Shape) -> Tensor
  ) throws {
    let selected = try targetNames(options.targets)
    attach(dropout: options.dropout, gradient: tensor) { linear in
      guard selected.contains(linear.name) else { return nil }
      return (
        a: tensor([options.rank, linear.weight.inFeatures]),
        b: tensor([linear.weight.outFeatures, options.rank]), scale: 1
      )
    }
    addHead(gradient: tensor) { _, _, shape in tensor(shape) }
    try withoutActuallyEscaping(tensor) {
      try trainModules(options.modulesToSave, hollow: $0)
    }
  }

  /// Gives a head without values its parameters, for a backend that only counts.
  package func addHollowHead(tensor: (Shape) -> Tensor) {
    addHead(gradient: tensor) { _, _, shape in tensor(shape) }
  }

  /// Puts an adapter that was trained before on its modules, with its own rank and scale.
  /// - Throws: `adapterMismatch` listing the modules and shapes that the two do not share.
  package func addAdapters(_ adapter: PEFTAdapter) throws {
    try checkHead(of: adapter)
    let byName = Dictionary(linears.map { ($0.name, $0.weight) }) { $1 }
    try adapter.checkFit(modules: linears.map(\.name)) { module in
      byName[module].map { [$0.outFeatures, $0.inFeatures] }
    }
    let pairs = Dictionary(adapter.pairs.map { ($0.module, $0) }) { $1 }
    try attach(dropout: adapter.config.dropout) { linear in
      guard let pair = pairs[linear.name] else { return nil }
      return (
        a: pair.a, b: pair.b, scale: try adapter.config.scale(of: linear.name, rank: pair.rank)
      )
    }
    let saved = Dictionary(adapter.saved.map { ($0.name, $0.tensor) }) { $1 }
    addHead { classifier, name, shape in
      saved[name].map { Tensor($0.floats(), shape: shape) } ?? Tensor(zeros: shape)
    }
    if classifier == nil { try trainModules(of: adapter) }
  }

  /// Runs `body` on the bare base; the adapters are on the model again afterwards.
  package func withoutAdapters<Result>(_ body: () throws -> Result) rethrows -> Result {
    let (adapted, head, trained) = (blocks, classifier, tables)
    let norms = (readerNorm, finalNorm)
    defer {
      (blocks, classifier, tables) = (adapted, head, trained)
      (readerNorm, finalNorm) = norms
    }
    forEachLinear { $0.adapter = nil }
    forEachNorm { $0.trained = nil }
    tables = TrainedTables()
    return try body()
  }

  /// As PEFT names the halves of an adapter.
  package static func parameterName(_ module: String, _ half: String) -> String {
    "base_model.model.\(module).lora_\(half).weight"
  }

  private func attach(
    dropout: Double, gradient: (Shape) -> Tensor = { Tensor(zeros: $0) },
    _ halves: (AdaptedLinear) throws -> (a: Tensor, b: Tensor, scale: Float)?
  ) rethrows {
    parameters = []
    try forEachLinear { linear in
      guard let (a, b, scale) = try halves(linear) else { return }
      let name = linear.name
      func parameter(_ half: String, _ value: Tensor) -> Parameter {
        Parameter(
          name: Self.parameterName(name, half), value: value,
          gradient: gradient(value.shape))
      }
      let adapter = LowRankAdapter(
        a: parameter("A", a), b: parameter("B", b),
        scale: scale, dropoutRate: Float(dropout), index: parameters.count / 2)
      linear.adapter = adapter
      parameters += [adapter.a, adapter.b]
    }
  }

  /// Gives a head its values, and the optimizer its parameters behind those of the adapters.
  private func addHead(
    gradient: (Shape) -> Tensor = { Tensor(zeros: $0) },
    _ value: (Classifier, _ name: String, Shape) -> Tensor
  ) {
    guard let bare = classifier else { return }
    var head = bare
    head.make(gradient: gradient) { name, shape in value(bare, name, shape) }
    classifier = head
    parameters += head.parameters
  }

  /// - Throws: `adapterMismatch` where one of the two has a head and the other has not, or another.
  private func checkHead(of adapter: PEFTAdapter) throws {
    guard let classifier else {
      guard adapter.config.taskType != PEFTAdapterConfig.classification || adapter.saved.isEmpty
      else {
        throw Diagnostic(
          .adapterMismatch,
          "the adapter tells classes apart by a head of its own, and this is a language model",
          remedy: "use an adapter of a classifier with `qlora classify` or `qlora eval`")
      }
      return
    }
    let saved = Dictionary(adapter.saved.map { ($0.name, $0.tensor.shape) }) { $1 }
    let wanted = classifier.layers.flatMap(\.tensors)
    let unfit = wanted.filter { saved[$0.name] != $0.shape }.map(\.name)
    let stray = Set(saved.keys).subtracting(wanted.map(\.name)).sorted()
    guard unfit.isEmpty, stray.isEmpty else {
      let list = (unfit + stray).prefix(8).joined(separator: ", ")
      throw Diagnostic(
        .adapterMismatch,
        "the adapter's head does not fit a model for \(classifier.options.count) classes: "
          + list, remedy: "give the labels that it was trained with")
    }
  }

  /// - Throws: `noTarget` where the targets name no linear.
  package func targetNames(_ targets: AdapterTargets) throws -> Set<String> {
    let names = linears.map(\.name)
    let selected: [String]
    switch targets {
    case .allLinear: selected = names
    case .names(let list):
      selected = names.filter { name in list.contains { name == $0 || name.hasSuffix("." + $0) } }
    case .pattern(let pattern):
      let patterns = try ModulePatterns([pattern])
      selected = try names.filter(patterns.matches)
    }
    guard !selected.isEmpty else {
      throw Diagnostic(
        .noTarget, "adapter.targets matches none of the \(names.count) linears of this model",
        remedy: "use \"all-linear\", or suffixes such as \(Set(names.map(Self.suffix)).sorted())")
    }
    return Set(selected)
  }

  private static func suffix(_ module: String) -> String {
    module.split(separator: ".").last.map(String.init) ?? module
  }
}

extension PEFTAdapterConfig {
  /// What multiplies B·A on one module: alpha / rank, or alpha / √rank where rank-stabilised.
  /// Source: Kalajdzievski 2023, "rsLoRA", arXiv:2312.03732, for the root.
  package func scale(of module: String, rank: Int) throws -> Float {
    let alpha = try alpha(of: module)
    return Float(usesRankStabilizedScale ? alpha / Double(rank).squareRoot() : alpha / Double(rank))
  }

  /// What a tool that divides by the rank must be told as alpha, to multiply B·A by `scale`.
  package func alphaOverRank(of module: String, rank: Int) throws -> Double {
    let alpha = try alpha(of: module)
    return usesRankStabilizedScale ? alpha * Double(rank).squareRoot() : alpha
  }

  private func alpha(of module: String) throws -> Double {
    try Self.value(of: module, in: alphaPattern) ?? alpha
  }

  func rank(of module: String) throws -> Int {
    try Self.value(of: module, in: rankPattern) ?? rank
  }

  /// That of the first pattern that matches, in the order in which PEFT writes them.
  private static func value<Value>(
    of module: String, in patterns: [String: Value]
  ) throws -> Value? {
    try patterns.sorted { $0.key < $1.key }.first { entry in
      try ModulePatterns(["(.*\\.)?(\(entry.key))"]).matches(module)
    }?.value
  }
}
