// Weights under the names of a family's newest files, whatever older ones call them.
import QLoRADiagnostics
import QLoRATensor

package struct RenamedWeights: WeightSource {
  package let base: any WeightSource
  package let names: [String]
  /// Names in the file, by those that are used here.
  private let stored: [String: String]

  /// - Parameter newName: of a tensor in the file; nil leaves it out.
  init(_ base: any WeightSource, _ newName: (String) -> String?) {
    self.base = base
    let named = base.names.compactMap { old in newName(old).map { ($0, old) } }
    names = named.map(\.0)
    stored = Dictionary(named) { first, _ in first }
  }

  /// Of an encoder: older files call a norm's weight and bias gamma and beta, and files of the bare
  /// encoder lack its name in front.
  package static func encoder(_ base: any WeightSource, _ family: ModelFamily) -> RenamedWeights {
    RenamedWeights(base) { name in
      // Tables of counted numbers, which some files keep as tensors.
      if name.hasSuffix(".position_ids") { return nil }
      var name = name
      for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")]
      where name.hasSuffix("LayerNorm" + old) {
        name = String(name.dropLast(old.count)) + new
      }
      let parts = ["embeddings.", "encoder.", "pooler.", "transformer."]
      let isBare = parts.contains { name.hasPrefix($0) }
      return isBare ? family.rawValue + "." + name : name
    }
  }

  /// Of a decoder in a model that sees images too: files have the language model outside and its
  /// head within. What else the model is of keeps its names.
  package static func held(_ base: any WeightSource, by holder: String) -> RenamedWeights {
    let moved = [
      (holder + ".lm_head.", "lm_head."), (holder + ".model.", "model.\(holder)."),
    ]
    return RenamedWeights(base) { name in
      guard let (old, new) = moved.first(where: { name.hasPrefix($0.0) }) else { return name }
      return new + name.dropFirst(old.count)
    }
  }

  private func old(_ name: String) -> String { stored[name] ?? name }

  package func contains(_ name: String) -> Bool { stored[name] != nil }
  package func shape(of name: String) throws -> Shape { try base.shape(of: old(name)) }
  package func isQuantized(_ name: String) -> Bool { base.isQuantized(old(name)) }
  package func dtype(of name: String) throws -> DType { try base.dtype(of: old(name)) }

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    try base.readFloats(old(name), range: range, into: destination)
  }

  package func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? {
    try base.quantizedMatrix(old(name))
  }

  package func int8Matrix(_ name: String) throws -> Int8Matrix? {
    try base.int8Matrix(old(name))
  }
}
