// Putting adapters on a model, filling them from a file, and naming them as PEFT does.

import QLoRADiagnostics
import QLoRATensor

extension LlamaModel {
  /// Every linear of the blocks, in module order.
  package var linears: [AdaptedLinear] {
    blocks.flatMap { block in LlamaBlock.linearPaths.map { block[keyPath: $0] } }
  }

  /// Gives each target a fresh adapter: A uniform in ±1/√in (Kaiming with a = √5, as PEFT), B zero.
  /// - Throws: `noTarget` where the targets name no linear.
  package func addAdapters(_ options: AdapterOptions) throws {
    let selected = try targetNames(options.targets)
    attach(dropout: options.dropout, scale: Float(options.alpha / Double(options.rank))) { linear in
      guard selected.contains(linear.name) else { return nil }
      let bound = 1 / Float(linear.weight.inFeatures).squareRoot()
      var random = SplitMix64(seed: options.seed, name: linear.name)
      let count = options.rank * linear.weight.inFeatures
      let values = (0..<count).map { _ in (2 * Float(random.unit()) - 1) * bound }
      return (
        a: Tensor(values, shape: [options.rank, linear.weight.inFeatures]),
        b: Tensor(zeros: [linear.weight.outFeatures, options.rank])
      )
    }
  }

  /// Puts the tensors of an adapter file (by PEFT's parameter names) on their modules.
  /// - Throws: `adapterMismatch` for a tensor without a module, a missing half, or another shape.
  package func addAdapters(
    _ tensors: [String: Tensor], alpha: Double, dropout: Double
  ) throws {
    try checkFit(tensors)
    let ranks = Set(tensors.filter { $0.key.hasSuffix(".lora_A.weight") }.map { $0.value.shape[0] })
    guard let rank = ranks.first, ranks.count == 1 else {
      throw Diagnostic(.adapterMismatch, "expected one rank for all modules, found \(ranks.sorted())")
    }
    attach(dropout: dropout, scale: Float(alpha / Double(rank))) { linear in
      guard let a = tensors[Self.parameterName(linear.name, "A")],
        let b = tensors[Self.parameterName(linear.name, "B")]
      else { return nil }
      return (a, b)
    }
  }

  /// As PEFT names the halves of an adapter.
  package static func parameterName(_ module: String, _ half: String) -> String {
    "base_model.model.\(module).lora_\(half).weight"
  }

  private func attach(
    dropout: Double, scale: Float, _ halves: (AdaptedLinear) -> (a: Tensor, b: Tensor)?
  ) {
    parameters = []
    for index in blocks.indices {
      for path in LlamaBlock.linearPaths {
        let linear = blocks[index][keyPath: path]
        guard let (a, b) = halves(linear) else { continue }
        let adapter = LowRankAdapter(
          a: Parameter(name: Self.parameterName(linear.name, "A"), value: a),
          b: Parameter(name: Self.parameterName(linear.name, "B"), value: b),
          scale: scale, dropoutRate: Float(dropout), index: parameters.count / 2)
        blocks[index][keyPath: path].adapter = adapter
        parameters += [adapter.a, adapter.b]
      }
    }
  }

  private func targetNames(_ targets: AdapterTargets) throws -> Set<String> {
    let names = linears.map(\.name)
    let selected: [String]
    switch targets {
    case .allLinear: selected = names
    case .names(let list):
      selected = names.filter { name in list.contains { name == $0 || name.hasSuffix("." + $0) } }
    case .pattern(let pattern):
      let patterns = try ModulePatterns([pattern])
      selected = names.filter(patterns.matches)
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

  private func checkFit(_ tensors: [String: Tensor]) throws {
    var expected: [String: Shape] = [:]
    for linear in linears {
      let a = tensors[Self.parameterName(linear.name, "A")]
      let rank = a?.shape[0] ?? 0
      expected[Self.parameterName(linear.name, "A")] = [rank, linear.weight.inFeatures]
      expected[Self.parameterName(linear.name, "B")] = [linear.weight.outFeatures, rank]
    }
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      guard let shape = expected[name] else {
        throw Diagnostic(
          .adapterMismatch, "the adapter's tensor \"\(name)\" belongs to no linear of this model",
          remedy: "use the base model that adapter_config.json names")
      }
      guard shape == tensor.shape else {
        throw Diagnostic(
          .adapterMismatch, "\"\(name)\" should be \(shape), found \(tensor.shape)")
      }
      guard tensor.floats().allSatisfy(\.isFinite) else {
        throw Diagnostic(.nonFiniteAdapter, "\"\(name)\" holds a NaN or an infinity")
      }
    }
    for name in expected.keys.sorted() where name.contains(".lora_B.") {
      let other = name.replacing(".lora_B.", with: ".lora_A.")
      if (tensors[name] == nil) != (tensors[other] == nil) {
        throw Diagnostic(
          .adapterMismatch, "one half of an adapter is missing: \"\(name)\" or \"\(other)\"")
      }
    }
    if tensors.isEmpty { throw Diagnostic(.adapterMismatch, "the adapter holds no tensors") }
  }
}
