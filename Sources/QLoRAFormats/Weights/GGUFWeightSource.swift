// Weights from a GGUF file of the llama architecture, under Hugging Face names and in their row
// order: GGUF stores the rows of q and k permuted for interleaved rotary pairs.
import QLoRADiagnostics
import QLoRATensor

package struct GGUFWeightSource: WeightSource {
  package let gguf: GGUFFile
  package let names: [String]
  private let storedNames: [String: String]
  /// Of the tensors whose rows are permuted; asked for at every read.
  private let headRows: [String: GGUFHeadRows]

  /// - Throws: `tensorMissing`-like diagnostics for tensors of unknown names, which a Llama model
  ///   cannot have.
  package init(_ gguf: GGUFFile, config: ModelConfig) throws(Diagnostic) {
    self.gguf = gguf
    var names: [String] = []
    var storedNames: [String: String] = [:]
    var headRows: [String: GGUFHeadRows] = [:]
    // Divisors of rotary frequencies are configuration, not weights.
    for tensor in gguf.tensors where tensor.name != "rope_freqs.weight" {
      guard let name = GGUFNames.huggingFace(tensor.name) else {
        throw Diagnostic(
          .architectureUnsupported, "a Llama model has no tensor of this name",
          at: .tensor(file: gguf.path, name: tensor.name))
      }
      if let order = GGUFHeadRows(name, config) {
        let rows = tensor.extents.first ?? 0
        guard rows == order.count else {
          throw Diagnostic(
            .configInvalid,
            "expected \(order.heads) heads of \(config.headDim) rows, found \(rows) rows",
            at: .tensor(file: gguf.path, name: tensor.name))
        }
        headRows[name] = order
      }
      names.append(name)
      storedNames[name] = tensor.name
    }
    self.names = names
    self.storedNames = storedNames
    self.headRows = headRows
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

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let tensor = try stored(name)
    guard let order = headRows[name] else {
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
      let source = order.stored(row) * width + column
      let target = UnsafeMutableBufferPointer(
        rebasing: destination[(element - range.lowerBound)...].prefix(count))
      try gguf.readFloats(tensor.name, range: source..<(source + count), into: target)
      element += count
    }
  }
}
