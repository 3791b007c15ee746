// A LoRA adapter as PEFT saves it: adapter_config.json and adapter_model.safetensors of a folder.
// It pairs tensors and checks shapes; applying them belongs to models.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
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
  /// Tensors of modules that were trained as a whole, by their names in a model.
  package var saved: [(name: String, tensor: Tensor)]

  package init(
    config: PEFTAdapterConfig, pairs: [Pair], saved: [(name: String, tensor: Tensor)] = []
  ) {
    self.config = config
    self.pairs = pairs
    self.saved = saved
  }

  /// Reads an adapter folder.
  ///
  /// - Throws: `adapterMissing`, `adapterEmpty`, and `adapterKeys` listing tensors without their
  ///   partner, of a wrong shape, or of a kind that is not LoRA on a linear.
  package static func read(_ folder: String) throws -> PEFTAdapter {
    let config = try PEFTAdapterConfig(
      path: FilePath.join(folder, PEFTAdapterConfig.fileName))
    let path = FilePath.join(folder, weightsName)
    guard let opened = try InputFile.openIfPresent(weightsName, in: folder) else {
      throw Diagnostic(
        .adapterMissing, "the adapter's \(weightsName) is not there", at: .file(path),
        remedy: "save the adapter as safetensors, not as .bin")
    }
    let file = try SafetensorsFile(file: opened)
    guard !file.entries.isEmpty else {
      throw Diagnostic(.adapterEmpty, "the adapter holds no tensor", at: .file(path))
    }
    let isSaved = { (name: String) in config.saves(String(name.dropFirst(prefix.count))) }
    try checkKeys(file, isSaved)
    var pairs = try file.entries.filter { $0.name.hasSuffix(suffixA) }.map { entry in
      let module = String(entry.name.dropFirst(prefix.count).dropLast(suffixA.count))
      return Pair(
        module: module, a: try floats(entry.name, file),
        b: try floats(prefix + module + suffixB, file))
    }
    pairs.sort { $0.module.utf8.lexicographicallyPrecedes($1.module.utf8) }
    let saved = try file.entries.map(\.name).filter(isSaved).map {
      (name: String($0.dropFirst(prefix.count)), tensor: try floats($0, file))
    }
    return PEFTAdapter(config: config, pairs: pairs, saved: saved)
  }

  /// How many tensors a message lists.
  private static let listedTensors = 8

  /// Refuses tensors that are no half of an adapter or lack the other, all in one message.
  private static func checkKeys(
    _ file: SafetensorsFile, _ isSaved: (String) -> Bool
  ) throws(Diagnostic) {
    let findings = file.entries.compactMap { entry -> (name: String, text: String)? in
      if entry.name.hasPrefix(prefix), isSaved(entry.name) { return nil }
      return problem(of: entry, in: file).map { (name: entry.name, text: $0) }
    }
    guard let first = findings.first else { return }
    let rest = findings.dropFirst()
    let more =
      rest.isEmpty
      ? ""
      : "; so are "
        + rest.prefix(listedTensors).map { "\"\($0.name)\" (\($0.text))" }.joined(separator: ", ")
        + (rest.count > listedTensors ? " and \(rest.count - listedTensors) more" : "")
    throw Diagnostic(
      .adapterKeys, "cannot be applied: \(first.text)\(more)",
      at: .tensor(file: file.path, name: first.name),
      remedy: "use an adapter of plain LoRA on linear layers, saved by PEFT")
  }

  private static func problem(of entry: TensorEntry, in file: SafetensorsFile) -> String? {
    guard entry.name.hasPrefix(prefix) else { return "the name does not begin with \(prefix)" }
    let isA = entry.name.hasSuffix(suffixA)
    guard isA || entry.name.hasSuffix(suffixB) else {
      return "only lora_A.weight and lora_B.weight of linear layers are"
    }
    let partner =
      entry.name.dropLast((isA ? suffixA : suffixB).count) + (isA ? suffixB : suffixA)
    guard let other = try? file.entry(String(partner)) else {
      return "its \(isA ? "lora_B" : "lora_A") is missing"
    }
    let (a, b) = isA ? (entry.shape, other.shape) : (other.shape, entry.shape)
    guard a.rank == 2, b.rank == 2, a[0] == b[1], a.count > 0, b.count > 0 else {
      return "lora_A \(a) and lora_B \(b) do not share a rank"
    }
    return nil
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
    } + saved.map { (name: Self.prefix + $0.name, tensor: $0.tensor) }
  }
}
