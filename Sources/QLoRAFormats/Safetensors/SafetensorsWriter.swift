// Writer of safetensors: tensors are declared first, then given in file order, and every byte goes
// to a sink of the caller. It opens no file, so that callers keep their own commit protocol.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

/// Streams one safetensors file, laid out as the reference library does it byte for byte: widest
/// element types first, then by name; header padded with spaces to a multiple of eight.
package struct SafetensorsWriter {
  package struct Declaration: Sendable {
    package let name: String
    package let dtype: DType
    package let shape: Shape

    package init(_ name: String, _ dtype: DType, _ shape: Shape) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
    }
  }

  package typealias Sink = (UnsafeRawBufferPointer) throws -> Void

  /// What other tools write, and what transformers insists on.
  package static let defaultMetadata = ["format": "pt"]

  /// In the order in which the data must come.
  package let entries: [TensorEntry]
  /// Bytes of the whole file, known before the first is written.
  package let byteCount: Int
  private let header: [UInt8]
  private let sink: Sink
  private var next = 0
  private var bytesOfCurrent = 0
  private var wroteHeader = false

  /// Lays the file out. Metadata keys are written in byte order.
  ///
  /// - Throws: `safetensorsWrite` for a name given twice.
  package init(
    _ declarations: [Declaration], metadata: [String: String] = defaultMetadata,
    sink: @escaping Sink
  ) throws(Diagnostic) {
    let ranks = Dictionary(
      uniqueKeysWithValues: DType.safetensorsOrder.enumerated().map { ($1, $0) })
    let sorted = declarations.sorted { left, right in
      let (leftRank, rightRank) = (ranks[left.dtype] ?? 0, ranks[right.dtype] ?? 0)
      return leftRank != rightRank
        ? leftRank < rightRank : left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
    }
    header = Self.header(sorted, metadata)
    var names: Set<String> = []
    var entries: [TensorEntry] = []
    var offset = header.count
    for declaration in sorted {
      guard names.insert(declaration.name).inserted, declaration.name != "__metadata__" else {
        throw Diagnostic(
          .safetensorsWrite, "the tensor name \"\(declaration.name)\" cannot be used twice")
      }
      let end = offset + declaration.shape.count * declaration.dtype.byteSize
      entries.append(
        TensorEntry(
          name: declaration.name, dtype: declaration.dtype, shape: declaration.shape,
          byteRange: offset..<end))
      offset = end
    }
    self.entries = entries
    byteCount = offset
    self.sink = sink
  }

  /// The length prefix and the padded JSON.
  private static func header(_ sorted: [Declaration], _ metadata: [String: String]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      let text = JSONWriter.text(.dictionary(pairs.map { ($0.key, .string($0.value)) }))
      members.append("\"__metadata__\":" + text)
    }
    var offset = 0
    for declaration in sorted {
      let end = offset + declaration.shape.count * declaration.dtype.byteSize
      let extents = declaration.shape.extents.map(String.init).joined(separator: ",")
      members.append(
        "\(JSONWriter.quote(declaration.name)):{\"dtype\":\"\(declaration.dtype.safetensorsName)\","
          + "\"shape\":[\(extents)],\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    let alignment = 8
    text += Array(repeating: 0x20, count: (alignment - text.count % alignment) % alignment)
    let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) }
    return prefix + text
  }

  /// Gives the next tensor in full.
  package mutating func write(_ tensor: Tensor, named name: String) throws {
    guard next < entries.count, entries[next].name == name, entries[next].dtype == tensor.dtype,
      entries[next].shape == tensor.shape, bytesOfCurrent == 0
    else {
      throw Diagnostic(
        .safetensorsWrite,
        "tensor \"\(name)\" \(tensor.shape) \(tensor.dtype) came where "
          + (next < entries.count ? "\"\(entries[next].name)\" was due" : "none was due"))
    }
    if tensor.byteCount == 0 {
      try writeHeader()
      next += 1
    } else {
      try tensor.withBytes { try write(bytes: $0, of: name) }
    }
  }

  /// Gives the next bytes of the tensor that is due; the tensor ends when all have come.
  package mutating func write(bytes: UnsafeRawBufferPointer, of name: String) throws {
    try writeHeader()
    // Tensors without elements have no bytes to be given.
    while next < entries.count, entries[next].byteRange.isEmpty, entries[next].name != name {
      next += 1
    }
    guard next < entries.count, entries[next].name == name,
      bytesOfCurrent + bytes.count <= entries[next].byteRange.count
    else {
      throw Diagnostic(
        .safetensorsWrite, "\(bytes.count) bytes of tensor \"\(name)\" came out of turn")
    }
    try sink(bytes)
    bytesOfCurrent += bytes.count
    if bytesOfCurrent == entries[next].byteRange.count {
      next += 1
      bytesOfCurrent = 0
    }
  }

  /// Ends the file.
  ///
  /// - Throws: `safetensorsWrite` where a tensor is missing.
  package mutating func finish() throws {
    try writeHeader()
    while next < entries.count, entries[next].byteRange.isEmpty { next += 1 }
    guard next == entries.count else {
      throw Diagnostic(.safetensorsWrite, "tensor \"\(entries[next].name)\" was not completed")
    }
  }

  private mutating func writeHeader() throws {
    guard !wroteHeader else { return }
    wroteHeader = true
    try header.withUnsafeBytes { try sink($0) }
  }

  /// Writes tensors that are in memory, in any order.
  package static func write(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = defaultMetadata,
    to sink: Sink
  ) throws {
    try withoutActuallyEscaping(sink) { sink in
      var writer = try SafetensorsWriter(
        tensors.map { Declaration($0.name, $0.tensor.dtype, $0.tensor.shape) },
        metadata: metadata, sink: sink)
      let byName = Dictionary(tensors.map { ($0.name, $0.tensor) }, uniquingKeysWith: { $1 })
      for entry in writer.entries {
        if let tensor = byName[entry.name] { try writer.write(tensor, named: entry.name) }
      }
      try writer.finish()
    }
  }
}
