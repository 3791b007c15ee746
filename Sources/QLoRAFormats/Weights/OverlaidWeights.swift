// A model some of whose tensors are another's: modules that were trained as a whole, over their
// base.
import QLoRATensor

/// Passes on everything else.
package struct OverlaidWeights: WeightSource {
  package let base: any WeightSource
  private let own: [String: Tensor]
  /// Names that stand for others of the base, such as a head that was tied to the embedding.
  private let aliases: [String: String]

  init(
    _ base: any WeightSource, own: [(name: String, tensor: Tensor)], aliases: [String: String]
  ) {
    self.base = base
    self.own = Dictionary(own) { $1 }
    self.aliases = aliases
  }

  package var names: [String] {
    base.names + (Array(own.keys) + aliases.keys).filter { !base.contains($0) }.sorted()
  }

  package func contains(_ name: String) -> Bool {
    own[name] != nil || aliases[name] != nil || base.contains(name)
  }

  package func shape(of name: String) throws -> Shape {
    try own[name]?.shape ?? base.shape(of: source(name))
  }

  package func isQuantized(_ name: String) -> Bool {
    own[name] == nil && base.isQuantized(source(name))
  }

  package func dtype(of name: String) throws -> DType {
    try own[name] != nil ? .float32 : base.dtype(of: source(name))
  }

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    guard let tensor = own[name] else {
      return try base.readFloats(source(name), range: range, into: destination)
    }
    try checkRange(range, count: tensor.count, room: destination.count, name: name, path: "")
    tensor.withElements(Float.self) { _ = destination.update(fromContentsOf: $0[range]) }
  }

  package func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? {
    try own[name] != nil ? nil : base.quantizedMatrix(source(name))
  }

  package func int8Matrix(_ name: String) throws -> Int8Matrix? {
    try own[name] != nil ? nil : base.int8Matrix(source(name))
  }

  private func source(_ name: String) -> String { aliases[name] ?? name }
}

extension ModelSource {
  /// The model with some tensors in the place of its own.
  ///
  /// - Parameter unties: whether embedding and head were one and are two from here on.
  package func overlaid(
    by own: [(name: String, tensor: Tensor)], unties: Bool
  ) -> ModelSource {
    let names = config.names
    let head = names.head + ".weight"
    let isAlias = unties && !own.contains { $0.name == head }
    var result = self
    result.weights = OverlaidWeights(
      weights, own: own, aliases: isAlias ? [head: names.embedding + ".weight"] : [:])
    if unties {
      result.config.tiesEmbeddings = false
      result.isUntied = true
    }
    return result
  }
}
