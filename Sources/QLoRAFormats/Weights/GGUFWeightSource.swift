// Weights from a GGUF file under Hugging Face names and in their order of rows; experts and heads,
// which GGUF keeps in one tensor, one by one; and Gemma's norms less the one that GGUF has added.
import QLoRADiagnostics
import QLoRATensor

package struct GGUFWeightSource: WeightSource {
  /// Where a tensor of a folder is in the file.
  private struct Place {
    var name: String
    var shape: Shape
    /// Elements in front of it in its tensor.
    var offset = 0
    /// Where rows are in another order.
    var headRows: GGUFHeadRows?
    /// What the file has added to each element.
    var shift: Float = 0
  }

  package let gguf: GGUFFile
  package let names: [String]
  private let places: [String: Place]

  /// - Throws: `tensorMissing`-like diagnostics for tensors of unknown names, which a model of this
  ///   family cannot have.
  package init(_ gguf: GGUFFile, config: ModelConfig) throws(Diagnostic) {
    self.gguf = gguf
    var names: [String] = []
    var places: [String: Place] = [:]
    // Divisors of rotary frequencies are configuration, not weights.
    for tensor in gguf.tensors where !ModelConfig.ggufRopeTensors.contains(tensor.name) {
      let found = GGUFNames.huggingFace(tensor.name, config)
      guard !found.tensors.isEmpty else {
        throw Diagnostic(
          .architectureUnsupported,
          "a model of type \"\(config.family.rawValue)\" has no tensor of this name",
          at: .tensor(file: gguf.path, name: tensor.name))
      }
      var extents = tensor.extents
      if found.areStacked {
        guard extents.count > 1, extents[0] == found.tensors.count else {
          throw Diagnostic(
            .configInvalid,
            "expected \(found.tensors.count) experts or heads, found shape \(Shape(extents))",
            at: .tensor(file: gguf.path, name: tensor.name))
        }
        extents.removeFirst()
      }
      for (index, name) in found.tensors.enumerated() {
        var place = Place(name: tensor.name, shape: Shape(extents))
        place.offset = index * place.shape.count
        place.headRows = try Self.headRows(name, tensor, config, gguf)
        place.shift = config.family.isGemma && name.hasSuffix("norm.weight") ? 1 : 0
        names.append(name)
        places[name] = place
      }
    }
    self.names = names
    self.places = places
  }

  private static func headRows(
    _ name: String, _ tensor: GGUFTensor, _ config: ModelConfig, _ gguf: GGUFFile
  ) throws(Diagnostic) -> GGUFHeadRows? {
    guard let order = GGUFHeadRows(name, config) else { return nil }
    let rows = tensor.extents.first ?? 0
    guard rows == order.count else {
      throw Diagnostic(
        .configInvalid,
        "expected \(order.heads) heads of \(config.headDim) rows, found \(rows) rows",
        at: .tensor(file: gguf.path, name: tensor.name))
    }
    return order
  }

  private func place(_ name: String) throws(Diagnostic) -> Place {
    if let place = places[name] { return place }
    // Not there: the diagnostic for that.
    return Place(name: try gguf.tensor(name).name, shape: [])
  }

  package func contains(_ name: String) -> Bool { places[name] != nil }

  package func shape(of name: String) throws -> Shape { try place(name).shape }

  package func dtype(of name: String) throws -> DType {
    switch try gguf.tensor(place(name).name).type {
    case .f16: .float16
    case .bf16: .bfloat16
    default: .float32
    }
  }

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let place = try place(name)
    try checkRange(
      range, count: place.shape.count, room: destination.count, name: name, path: gguf.path)
    guard let order = place.headRows else {
      let stored = range.lowerBound + place.offset..<range.upperBound + place.offset
      try gguf.readFloats(place.name, range: stored, into: destination)
      if place.shift != 0 {
        for index in 0..<range.count { destination[index] -= place.shift }
      }
      return
    }
    let width = place.shape.extents.dropFirst().reduce(1, *)
    guard width > 0 else { return }
    var element = range.lowerBound
    while element < range.upperBound {
      let (row, column) = element.quotientAndRemainder(dividingBy: width)
      let count = min(width - column, range.upperBound - element)
      let source = order.stored(row) * width + column
      let target = UnsafeMutableBufferPointer(
        rebasing: destination[(element - range.lowerBound)...].prefix(count))
      try gguf.readFloats(place.name, range: source..<(source + count), into: target)
      element += count
    }
  }
}
