// Prepared weights as plain memory, so that a later process need not prepare them again. The layout
// is the backend's own: no file format of others, and nothing to exchange.

/// A prepared weight taken apart.
package struct ArchivedWeight: Sendable {
  package var outFeatures: Int
  package var inFeatures: Int
  package var storage: WeightStorage
  /// In an order of the backend's own. Each begins at a multiple of `Storage.alignment` of readable
  /// memory that goes on for as much beyond its end.
  package var parts: [Tensor]

  package init(outFeatures: Int, inFeatures: Int, storage: WeightStorage, parts: [Tensor]) {
    self.outFeatures = outFeatures
    self.inFeatures = inFeatures
    self.storage = storage
    self.parts = parts
  }
}

/// A weight that lies elsewhere and is in memory from one use to the next.
package protocol LentWeight: PreparedWeight {
  /// The weight in memory, for the length of one operation.
  func borrow() -> any PreparedWeight
}

/// A backend whose prepared weights are host memory.
package protocol WeightArchiving: Backend {
  /// Names the layout of the parts. Processes with the same name, on whatever processor, make the
  /// same bytes and understand them; a change of the layout or of what goes into it changes it.
  var weightLayout: String { get }
  /// - Throws: where `prepare` would.
  func check(_ matrix: QuantizedMatrix) throws
  /// The parts share the weight's memory.
  func archive(_ weight: any PreparedWeight) -> ArchivedWeight
  /// The inverse; the weight keeps the parts' memory and never writes into it.
  /// - Throws: where the parts are not those of such a weight.
  func restore(_ archived: ArchivedWeight) throws -> any PreparedWeight
}
