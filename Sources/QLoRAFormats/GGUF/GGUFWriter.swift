// Writer of GGUF, version 3: metadata and tensors are declared first, then each tensor's bytes are
// given in the order of their declaration. It opens no file, so that callers keep their own commit
// protocol.
import QLoRADiagnostics

/// Streams one GGUF file from its first byte to its last.
package struct GGUFWriter {
  package struct Declaration: Sendable, Equatable {
    package let name: String
    package let type: GGUFTensorType
    /// Outermost first, `[out, in]`: the reverse of the file's order.
    package let extents: [Int]

    package init(_ name: String, _ type: GGUFTensorType, _ extents: [Int]) {
      self.name = name
      self.type = type
      self.extents = extents
    }

    package var byteCount: Int {
      extents.reduce(1, *) / type.blockElements * type.blockBytes
    }
  }

  /// Keys and values in the order of the file.
  package typealias Metadata = [(key: String, value: GGUFValue)]
  /// Takes bytes in order.
  package typealias Sink = (UnsafeRawBufferPointer) throws -> Void

  /// What a tensor's first byte is a multiple of, where the metadata name no other number.
  static let alignment = 32

  package let declarations: [Declaration]
  private let header: [UInt8]
  private let sink: Sink
  /// The tensor whose bytes come next, and how many of them came.
  private var current = 0
  private var written = 0
  private var wroteHeader = false

  /// Bytes of the whole file, known before the first is written.
  package var byteCount: Int {
    declarations.reduce(header.count) { $0 + Self.padded($1.byteCount) }
  }

  /// - Throws: `ggufWrite` for a name or key that stands twice or is too long, and for rows that
  ///   are no multiple of the type's blocks.
  package init(
    metadata: Metadata, _ declarations: [Declaration], sink: @escaping Sink
  ) throws(Diagnostic) {
    try Self.check(metadata, declarations)
    self.declarations = declarations
    header = Self.header(metadata, declarations)
    self.sink = sink
  }

  /// Gives the next bytes of the tensor whose turn it is.
  ///
  /// - Throws: `ggufWrite` for another tensor's bytes or too many.
  package mutating func write(_ bytes: UnsafeRawBufferPointer, of name: String) throws {
    try writeHeader()
    guard !bytes.isEmpty else { return }
    // Tensors without elements have no bytes to come.
    while current < declarations.count, declarations[current].name != name,
      declarations[current].byteCount == 0
    {
      current += 1
    }
    guard current < declarations.count, declarations[current].name == name,
      written + bytes.count <= declarations[current].byteCount
    else {
      throw Diagnostic(
        .ggufWrite, "\(bytes.count) bytes of tensor \"\(name)\" came out of turn")
    }
    try sink(bytes)
    written += bytes.count
    guard written == declarations[current].byteCount else { return }
    try give([UInt8](repeating: 0, count: Self.padded(written) - written))
    (current, written) = (current + 1, 0)
  }

  /// Ends the file.
  ///
  /// - Throws: `ggufWrite` where a tensor is missing.
  package mutating func finish() throws {
    try writeHeader()
    if let missing = declarations[current...].first(where: { $0.byteCount > 0 }) {
      throw Diagnostic(.ggufWrite, "tensor \"\(missing.name)\" was not completed")
    }
  }

  private mutating func writeHeader() throws {
    guard !wroteHeader else { return }
    wroteHeader = true
    try give(header)
  }

  private func give(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try sink($0) } }

  private static func padded(_ count: Int) -> Int {
    (count + alignment - 1) / alignment * alignment
  }

  private static func check(
    _ metadata: Metadata, _ declarations: [Declaration]
  ) throws(Diagnostic) {
    let keys = metadata.map(\.key)
    guard Set(keys).count == keys.count, !keys.contains("general.alignment"),
      keys.allSatisfy({ (1...GGUFHeader.maximumKeyBytes).contains($0.utf8.count) })
    else { throw Diagnostic(.ggufWrite, "a metadata key that cannot be written") }
    let names = declarations.map(\.name)
    guard Set(names).count == names.count else {
      throw Diagnostic(.ggufWrite, "a tensor name that stands twice")
    }
    for tensor in declarations {
      guard (1...GGUFHeader.maximumNameBytes).contains(tensor.name.utf8.count),
        tensor.extents.count <= GGUFHeader.maximumDimensions,
        (tensor.extents.last ?? 1) % tensor.type.blockElements == 0
      else {
        throw Diagnostic(
          .ggufWrite, "tensor \"\(tensor.name)\" of \(tensor.extents) as \(tensor.type.name)")
      }
    }
  }

  private static func header(_ metadata: Metadata, _ declarations: [Declaration]) -> [UInt8] {
    var bytes = GGUFBytes()
    bytes.append(contentsOf: "GGUF".utf8)
    bytes.append(UInt32(3))
    bytes.append(UInt64(declarations.count))
    bytes.append(UInt64(metadata.count))
    for (key, value) in metadata {
      bytes.append(key)
      bytes.append(value.type.rawValue)
      bytes.append(value)
    }
    var offset = 0
    for tensor in declarations {
      bytes.append(tensor.name)
      bytes.append(UInt32(tensor.extents.count))
      for extent in tensor.extents.reversed() { bytes.append(UInt64(extent)) }
      bytes.append(tensor.type.rawValue)
      bytes.append(UInt64(offset))
      offset += padded(tensor.byteCount)
    }
    let count = bytes.bytes.count
    return bytes.bytes + [UInt8](repeating: 0, count: padded(count) - count)
  }
}
