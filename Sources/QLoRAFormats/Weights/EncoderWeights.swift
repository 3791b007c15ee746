// Weights of encoders under the names of their newest files: older ones call a norm's weight and
// bias gamma and beta, and files of the bare encoder lack its name in front.
import QLoRADiagnostics
import QLoRATensor

package struct EncoderWeights: WeightSource {
  package let base: any WeightSource
  package let names: [String]
  /// Names in the file, by those that are used here.
  private let stored: [String: String]

  package init(_ base: any WeightSource, _ family: ModelFamily) {
    self.base = base
    // Tables of counted numbers, which some files keep as tensors.
    let kept = base.names.filter { !$0.hasSuffix(".position_ids") }
    let named = kept.map { (Self.newName($0, family.rawValue + "."), $0) }
    names = named.map(\.0)
    stored = Dictionary(named) { first, _ in first }
  }

  private static func newName(_ name: String, _ prefix: String) -> String {
    var name = name
    for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")]
    where name.hasSuffix("LayerNorm" + old) {
      name = String(name.dropLast(old.count)) + new
    }
    let parts = ["embeddings.", "encoder.", "pooler.", "transformer."]
    let isBare = parts.contains { name.hasPrefix($0) }
    return isBare ? prefix + name : name
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
