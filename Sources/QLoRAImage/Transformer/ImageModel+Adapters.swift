// Putting adapters on a transformer of images, fresh ones or those of a file.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARandom
import QLoRATensor

extension ImageModel {
  /// Gives each target a fresh adapter: A uniform in ±1/√in (Kaiming with a = √5, as PEFT), B zero.
  /// - Throws: `noTarget` where the targets name no linear.
  package func addAdapters(_ options: AdapterOptions) throws {
    let selected = try targetNames(options.targets)
    let scale = Float(options.alpha / Double(options.rank))
    attach(dropout: options.dropout) { linear in
      guard selected.contains(linear.name) else { return nil }
      let width = linear.weight.inFeatures
      let bound = 1 / Float(width).squareRoot()
      var random = SplitMix64(seed: options.seed, name: linear.name)
      let values = (0..<options.rank * width).map { _ in
        (2 * Float(random.unit()) - 1) * bound
      }
      return (
        a: Tensor(values, shape: [options.rank, width]),
        b: Tensor(zeros: [linear.weight.outFeatures, options.rank]), scale: scale
      )
    }
  }

  /// Gives each target an adapter without values, for a backend that only counts.
  /// - Parameter tensor: float32 memory of a shape.
  /// - Throws: as the above.
  package func addHollowAdapters(_ options: AdapterOptions, tensor: (Shape) -> Tensor) throws {
    let selected = try targetNames(options.targets)
    attach(dropout: options.dropout, gradient: tensor) { linear in
      guard selected.contains(linear.name) else { return nil }
      return (
        a: tensor([options.rank, linear.weight.inFeatures]),
        b: tensor([linear.weight.outFeatures, options.rank]), scale: 1
      )
    }
  }

  /// Puts an adapter that was trained before on its modules.
  /// - Throws: `adapterMismatch` listing what the two do not share; `nonFiniteAdapter`.
  package func addAdapters(_ adapter: PEFTAdapter) throws {
    let shapes = Dictionary(
      linears.map { ($0.name, Shape([$0.weight.outFeatures, $0.weight.inFeatures])) }) { $1 }
    try adapter.checkFit(modules: linears.map(\.name)) { shapes[$0] }
    let pairs = Dictionary(adapter.pairs.map { ($0.module, $0) }) { $1 }
    try attach(dropout: adapter.config.dropout) { linear in
      guard let pair = pairs[linear.name] else { return nil }
      return (
        a: pair.a, b: pair.b, scale: try adapter.config.scale(of: linear.name, rank: pair.rank)
      )
    }
  }

  /// The adapters as PEFT keeps them.
  package func peftAdapter(_ config: PEFTAdapterConfig) -> PEFTAdapter {
    PEFTAdapter(
      config: config,
      pairs: linears.compactMap { linear in
        linear.adapter.map {
          PEFTAdapter.Pair(module: linear.name, a: $0.a.value, b: $0.b.value)
        }
      })
  }

  private func attach(
    dropout: Double, gradient: (Shape) -> Tensor = { Tensor(zeros: $0) },
    _ halves: (AdaptedLinear) throws -> (a: Tensor, b: Tensor, scale: Float)?
  ) rethrows {
    var parameters: [Parameter] = []
    try table.attach { linear in
      guard let (a, b, scale) = try halves(linear) else { return nil }
      func parameter(_ half: String, _ value: Tensor) -> Parameter {
        Parameter(
          name: DecoderModel.parameterName(linear.name, half), value: value,
          gradient: gradient(value.shape))
      }
      let adapter = LowRankAdapter(
        a: parameter("A", a), b: parameter("B", b), scale: scale, dropoutRate: Float(dropout),
        index: parameters.count / 2)
      parameters += [adapter.a, adapter.b]
      return adapter
    }
    self.parameters = parameters
  }

  /// Whether a linear belongs to a block: those are all that "all-linear" means.
  private static func isOfBlock(_ name: String) -> Bool {
    name.hasPrefix("transformer_blocks.") || name.hasPrefix("single_transformer_blocks.")
  }

  /// - Throws: `noTarget` where the targets name no linear.
  package func targetNames(_ targets: AdapterTargets) throws -> Set<String> {
    // A patch embedder may be a convolution, for which an adapter has another form.
    let names = linears.map(\.name).filter { !$0.hasPrefix("pos_embed.") }
    let selected: [String]
    switch targets {
    case .allLinear: selected = names.filter(Self.isOfBlock)
    case .names(let list):
      selected = names.filter { name in list.contains { name == $0 || name.hasSuffix("." + $0) } }
    case .pattern(let pattern):
      let patterns = try ModulePatterns([pattern])
      selected = try names.filter(patterns.matches)
    }
    guard !selected.isEmpty else {
      throw Diagnostic(
        .noTarget, "adapter.targets matches none of the \(names.count) linears of this model",
        remedy: "use \"all-linear\", or suffixes such as [\"to_q\", \"to_k\", \"to_v\"]")
    }
    return Set(selected)
  }
}
