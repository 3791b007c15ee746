// Weights of linears that files keep as `[in, out]`, seen as `[out, in]`: GPT-2's.
import QLoRATensor
import Synchronization

/// Passes on everything else. What bitsandbytes has quantized is `[out, in]` in files already.
package final class TransposedWeights: WeightSource {
  package let base: any WeightSource
  private let isTransposed: @Sendable (_ module: String) -> Bool
  /// The one that was turned last, because it is asked for in pieces and by several threads.
  private let turned = Mutex<(name: String, values: [Float])?>(nil)

  package init(
    _ base: any WeightSource, isTransposed: @escaping @Sendable (_ module: String) -> Bool
  ) {
    self.base = base
    self.isTransposed = isTransposed
  }

  /// Whether the file has the other order.
  package func turns(_ name: String) -> Bool {
    let suffix = ".weight"
    return name.hasSuffix(suffix) && !base.isQuantized(name)
      && isTransposed(String(name.dropLast(suffix.count)))
  }

  package var names: [String] { base.names }
  package func contains(_ name: String) -> Bool { base.contains(name) }
  package func isQuantized(_ name: String) -> Bool { base.isQuantized(name) }
  package func dtype(of name: String) throws -> DType { try base.dtype(of: name) }
  package func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? {
    try base.quantizedMatrix(name)
  }
  package func int8Matrix(_ name: String) throws -> Int8Matrix? { try base.int8Matrix(name) }

  package func shape(of name: String) throws -> Shape {
    let shape = try base.shape(of: name)
    return turns(name) && shape.rank == 2 ? [shape[1], shape[0]] : shape
  }

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    guard turns(name) else {
      return try base.readFloats(name, range: range, into: destination)
    }
    let whole = try turned.withLock { kept in
      if let kept, kept.name == name { return kept.values }
      let values = try turn(name)
      kept = (name, values)
      return values
    }
    try checkRange(range, count: whole.count, room: destination.count, name: name, path: "")
    _ = destination.update(fromContentsOf: whole[range])
  }

  private func turn(_ name: String) throws -> [Float] {
    let stored = try base.tensor(name)
    let (rows, columns) = (stored.shape[0], stored.shape[1])
    return stored.withElements(Float.self) { values in
      (0..<values.count).map { values[$0 % rows * columns + $0 / rows] }
    }
  }
}
