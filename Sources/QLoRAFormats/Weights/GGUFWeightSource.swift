// Weights from a GGUF file of the llama architecture, under Hugging Face names and in their row
// order: GGUF stores the rows of q and k permuted for interleaved rotary pairs.
import QLoRADiagnostics
import QLoRATensor

package struct GGUFWeightSource: WeightSource {
  package let gguf: GGUFFile
  package let names: [String]
  private let storedNames: [String: String]
  /// Heads of the tensors whose rows are permuted; asked for at every read.
  private let permutedHeads: [String: Int]
  private let config: ModelConfig

  /// - Throws: `tensorMissing`-like diagnostics for tensors of unknown names, which a Llama model
  ///   cannot have.
  package init(_ gguf: GGUFFile, config: ModelConfig) throws(Diagnostic) {
    self.gguf = gguf
    self.config = config
    var names: [String] = []
    var storedNames: [String: String] = [:]
    var permutedHeads: [String: Int] = [:]
    // Divisors of rotary frequencies are configuration, not weights.
    for tensor in gguf.tensors where tensor.name != "rope_freqs.weight" {
      guard let name = GGUFNames.huggingFace(tensor.name) else {
        throw Diagnostic(
          .architectureUnsupported, "a Llama model has no tensor of this name",
          at: .tensor(file: gguf.path, name: tensor.name))
      }
      if let heads = Self.permutedHeads(name, config) {
        let rows = tensor.extents.first ?? 0
        guard rows == heads * config.headDim else {
          throw Diagnostic(
            .configInvalid,
            "expected \(heads) heads of \(config.headDim) rows, found \(rows) rows",
            at: .tensor(file: gguf.path, name: tensor.name))
        }
        permutedHeads[name] = heads
      }
      names.append(name)
      storedNames[name] = tensor.name
    }
    self.names = names
    self.storedNames = storedNames
    self.permutedHeads = permutedHeads
  }

  private func stored(_ name: String) throws(Diagnostic) -> GGUFTensor {
    try gguf.tensor(storedNames[name] ?? name)
  }

  package func contains(_ name: String) -> Bool { storedNames[name] != nil }

  package func shape(of name: String) throws -> Shape { Shape(try stored(name).extents) }

  package func dtype(of name: String) throws -> DType {
    switch try stored(name).type {
    case .f16: .float16
    case .bf16: .bfloat16
    default: .float32
    }
  }

  /// The number of heads whose rows are permuted; nil for tensors that are stored in plain order.
  private static func permutedHeads(_ name: String, _ config: ModelConfig) -> Int? {
    if name.contains(".q_proj.") { return config.heads }
    if name.contains(".k_proj.") { return config.kvHeads }
    return nil
  }

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let tensor = try stored(name)
    guard permutedHeads[name] != nil else {
      return try gguf.readFloats(tensor.name, range: range, into: destination)
    }
    try checkRange(
      range, count: tensor.count, room: destination.count, name: name, path: gguf.path)
    let width = tensor.extents.dropFirst().reduce(1, *)
    guard width > 0 else { return }
    var element = range.lowerBound
    while element < range.upperBound {
      let (row, column) = element.quotientAndRemainder(dividingBy: width)
      let count = min(width - column, range.upperBound - element)
      let source = storedRow(row) * width + column
      let target = UnsafeMutableBufferPointer(
        rebasing: destination[(element - range.lowerBound)...].prefix(count))
      try gguf.readFloats(tensor.name, range: source..<(source + count), into: target)
      element += count
    }
  }

  /// Rows of a head are pairs `(first half, second half)` side by side in GGUF: row `half·d/2 + j`
  /// of Hugging Face is row `2j + half` there.
  private func storedRow(_ row: Int) -> Int {
    let (head, inner) = row.quotientAndRemainder(dividingBy: config.headDim)
    let (half, pair) = inner.quotientAndRemainder(dividingBy: config.headDim / 2)
    return head * config.headDim + 2 * pair + half
  }
}
