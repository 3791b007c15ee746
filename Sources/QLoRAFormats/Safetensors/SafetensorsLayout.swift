// Where everything lies in a safetensors file that is to be written.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

/// A file's header and the places of its tensors, as the reference library lays them out: widest
/// element types first, then by name; header padded with spaces to a multiple of eight. Tensors
/// whose length is only bounded come last.
struct SafetensorsLayout {
  typealias Declaration = SafetensorsWriter.Declaration

  /// In the order of `entries`.
  let declarations: [Declaration]
  /// In file order.
  let entries: [TensorEntry]
  /// The length prefix and the padded JSON.
  let header: [UInt8]
  var byteCount: Int { entries.last?.byteRange.upperBound ?? header.count }

  /// - Parameter headerByteCount: what the header is padded to; nil: as little as possible.
  /// - Throws: `safetensorsWrite` for a name given twice.
  init(
    _ declarations: [Declaration], metadata: [String: String], headerByteCount: Int? = nil
  ) throws(Diagnostic) {
    let ranks = Dictionary(
      uniqueKeysWithValues: DType.safetensorsOrder.enumerated().map { ($1, $0) })
    func rank(_ declaration: Declaration) -> Int {
      declaration.isBound ? ranks.count : ranks[declaration.dtype] ?? 0
    }
    let sorted = declarations.sorted { left, right in
      let (leftRank, rightRank) = (rank(left), rank(right))
      return leftRank != rightRank
        ? leftRank < rightRank : left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
    }
    self.declarations = sorted
    header = Self.header(sorted, metadata, headerByteCount)
    var names: Set<String> = []
    var entries: [TensorEntry] = []
    var offset = header.count
    for declaration in sorted {
      guard names.insert(declaration.name).inserted, declaration.name != "__metadata__" else {
        throw Diagnostic(
          .safetensorsWrite, "the tensor name \"\(declaration.name)\" cannot be used twice")
      }
      let end = offset + declaration.byteCount
      entries.append(
        TensorEntry(
          name: declaration.name, dtype: declaration.dtype, shape: declaration.shape,
          byteRange: offset..<end))
      offset = end
    }
    self.entries = entries
  }

  private static func header(
    _ sorted: [Declaration], _ metadata: [String: String], _ byteCount: Int?
  ) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      let text = JSONWriter.text(.dictionary(pairs.map { ($0.key, .string($0.value)) }))
      members.append("\"__metadata__\":" + text)
    }
    var offset = 0
    for declaration in sorted {
      let end = offset + declaration.byteCount
      let extents = declaration.shape.extents.map(String.init).joined(separator: ",")
      members.append(
        "\(JSONWriter.quote(declaration.name)):{\"dtype\":\"\(declaration.dtype.safetensorsName)\","
          + "\"shape\":[\(extents)],\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    let alignment = 8
    let padded = (text.count + alignment - 1) / alignment * alignment
    let room = byteCount.map { $0 - SafetensorsHeader.prefixBytes } ?? padded
    text += Array(repeating: 0x20, count: room - text.count)
    let prefix = (0..<SafetensorsHeader.prefixBytes).map {
      UInt8(truncatingIfNeeded: text.count >> ($0 * 8))
    }
    return prefix + text
  }
}
