// A LoRA adapter as PEFT saves it: adapter_config.json and adapter_model.safetensors of a folder.
// It pairs tensors and checks shapes; applying them belongs to models.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

package struct PEFTAdapter: Sendable {
  /// The two matrices of one module.
  package struct Pair: Sendable {
    /// Such as `model.layers.0.self_attn.q_proj`.
    package var module: String
    /// `[rank, in]`.
    package var a: Tensor
    /// `[out, rank]`.
    package var b: Tensor

    package init(module: String, a: Tensor, b: Tensor) {
      self.module = module
      self.a = a
      self.b = b
    }

    package var rank: Int { a.shape[0] }
  }

  package static let weightsName = "adapter_model.safetensors"
  private static let prefix = "base_model.model."
  private static let suffixA = ".lora_A.weight"
  private static let suffixB = ".lora_B.weight"

  package var config: PEFTAdapterConfig
  /// By module name, in byte order.
  package var pairs: [Pair]

  package init(config: PEFTAdapterConfig, pairs: [Pair]) {
    self.config = config
    self.pairs = pairs
  }

  /// Reads an adapter folder.
  ///
  /// - Throws: `adapterMissing`, `adapterEmpty`, and `adapterKeys` for a tensor without its
  ///   partner, of a wrong shape, or of a kind that is not LoRA on a linear.
  package static func read(_ folder: String) throws -> PEFTAdapter {
    let config = try PEFTAdapterConfig(
      path: folder.appendingComponent(PEFTAdapterConfig.fileName))
    let path = folder.appendingComponent(weightsName)
    guard let opened = try InputFile.openIfPresent(path) else {
      throw Diagnostic(
        .adapterMissing, "the adapter's \(weightsName) is not there", at: .file(path),
        remedy: "save the adapter as safetensors, not as .bin")
    }
    let file = try SafetensorsFile(file: opened)
    guard !file.entries.isEmpty else {
      throw Diagnostic(.adapterEmpty, "the adapter holds no tensor", at: .file(path))
    }
    var pairs: [Pair] = []
    for entry in file.entries where try role(of: entry, path) == .a {
      let module = String(entry.name.dropFirst(prefix.count).dropLast(suffixA.count))
      let partner = prefix + module + suffixB
      guard file.contains(partner) else { throw unmatched(entry.name, "its lora_B", path) }
      pairs.append(
        Pair(
          module: module, a: try floats(entry.name, file), b: try floats(partner, file)))
      try checkShapes(pairs[pairs.count - 1], path)
    }
    for entry in file.entries where try role(of: entry, path) == .b {
      let partner = String(entry.name.dropLast(suffixB.count)) + suffixA
      guard file.contains(partner) else { throw unmatched(entry.name, "its lora_A", path) }
    }
    pairs.sort { $0.module.utf8.lexicographicallyPrecedes($1.module.utf8) }
    return PEFTAdapter(config: config, pairs: pairs)
  }

  private enum Role { case a, b }

  private static func role(of entry: TensorEntry, _ path: String) throws(Diagnostic) -> Role {
    let place = DiagnosticLocation.tensor(file: path, name: entry.name)
    guard entry.name.hasPrefix(prefix) else {
      throw Diagnostic(
        .adapterKeys, "expected a name that begins with \(prefix)", at: place,
        remedy: "save the adapter again with PEFT")
    }
    if entry.name.hasSuffix(suffixA) { return .a }
    if entry.name.hasSuffix(suffixB) { return .b }
    throw Diagnostic(
      .adapterKeys, "only lora_A.weight and lora_B.weight of linear layers are applied",
      at: place, remedy: "use an adapter without DoRA, embeddings and modules_to_save")
  }

  private static func unmatched(_ name: String, _ partner: String, _ path: String) -> Diagnostic {
    Diagnostic(.adapterKeys, "\(partner) is missing", at: .tensor(file: path, name: name))
  }

  private static func checkShapes(_ pair: Pair, _ path: String) throws(Diagnostic) {
    guard pair.a.shape.rank == 2, pair.b.shape.rank == 2, pair.a.shape[0] == pair.b.shape[1],
      pair.a.count > 0, pair.b.count > 0
    else {
      throw Diagnostic(
        .adapterKeys,
        "lora_A \(pair.a.shape) and lora_B \(pair.b.shape) do not share a rank",
        at: .tensor(file: path, name: pair.module))
    }
  }

  private static func floats(_ name: String, _ file: SafetensorsFile) throws -> Tensor {
    let tensor = Tensor(uninitialized: try file.entry(name).shape, .float32)
    try tensor.withMutableElements(Float.self) {
      try file.readFloats(name, range: 0..<tensor.count, into: $0)
    }
    return tensor
  }

  /// The tensors of `adapter_model.safetensors`, for a `SafetensorsWriter`.
  package func tensors() -> [(name: String, tensor: Tensor)] {
    pairs.flatMap { pair in
      [
        (name: Self.prefix + pair.module + Self.suffixA, tensor: pair.a),
        (name: Self.prefix + pair.module + Self.suffixB, tensor: pair.b),
      ]
    }
  }

  /// Pairs each of `modules` with its adapter.
  ///
  /// - Throws: `adapterKeys` naming the first module that only one of the two sides has, so that
  ///   an adapter is never applied in part.
  package func matched(to modules: [String]) throws(Diagnostic) -> [Pair] {
    let known = Set(modules)
    for pair in pairs where !known.contains(pair.module) {
      throw Diagnostic(
        .adapterKeys,
        "the adapter has weights for \"\(pair.module)\", which is no adapted layer of the model",
        remedy: "check that adapter and base model belong together")
    }
    let byModule = Dictionary(pairs.map { ($0.module, $0) }, uniquingKeysWith: { $1 })
    var matched: [Pair] = []
    for module in modules {
      guard let pair = byModule[module] else {
        throw Diagnostic(
          .adapterKeys, "the adapter has no weights for the adapted layer \"\(module)\"",
          remedy: "check that adapter and base model belong together")
      }
      matched.append(pair)
    }
    return matched
  }
}
