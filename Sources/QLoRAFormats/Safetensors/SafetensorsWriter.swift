// Writer of safetensors: tensors are declared first, then given in any order, and every byte goes
// to a sink of the caller. It opens no file, so that callers keep their own commit protocol.
import QLoRADiagnostics
import QLoRATensor

/// Streams one safetensors file, laid out as the reference library does it byte for byte.
package struct SafetensorsWriter {
  package struct Declaration: Sendable {
    package let name: String
    package let dtype: DType
    package let shape: Shape
    /// Whether the shape is only the most that it can be.
    package let isBound: Bool

    package init(_ name: String, _ dtype: DType, _ shape: Shape) {
      self.name = name
      self.dtype = dtype
      self.shape = shape
      isBound = false
    }

    /// Bytes, of which there are at most so many: how many shows when they are given. They lie
    /// behind all other tensors.
    package init(_ name: String, atMostBytes byteCount: Int) {
      self.name = name
      dtype = .uint8
      shape = [byteCount]
      isBound = true
    }

    package var byteCount: Int { shape.count * dtype.byteSize }
  }

  /// Takes bytes and their place in the file. The bytes come in order where the tensors do and none
  /// was declared by a bound.
  package typealias Sink = (_ bytes: UnsafeRawBufferPointer, _ offset: Int) throws -> Void

  /// What other tools write, and what transformers insists on.
  package static let defaultMetadata = ["format": "pt"]

  private let layout: SafetensorsLayout
  private let metadata: [String: String]
  private let places: [String: Int]
  private let sink: Sink
  /// Bytes that came, by place.
  private var written: [Int]
  /// What came of the tensors that were declared by a bound, by place.
  private var waiting: [Int: [UInt8]] = [:]
  private var wroteHeader = false

  /// The tensors in file order.
  package var names: [String] { layout.entries.map(\.name) }
  /// Bytes of the whole file, known before the first is written; with bounds, the most it can be.
  package var byteCount: Int { layout.byteCount }

  /// Lays the file out. Metadata keys are written in byte order.
  ///
  /// - Throws: `safetensorsWrite` for a name given twice.
  package init(
    _ declarations: [Declaration], metadata: [String: String] = defaultMetadata,
    sink: @escaping Sink
  ) throws(Diagnostic) {
    layout = try SafetensorsLayout(declarations, metadata: metadata)
    self.metadata = metadata
    places = Dictionary(
      uniqueKeysWithValues: layout.entries.enumerated().map { ($1.name, $0) })
    written = Array(repeating: 0, count: layout.entries.count)
    self.sink = sink
  }

  /// Gives the next bytes of a tensor; one that was declared by a bound comes whole.
  ///
  /// - Throws: `safetensorsWrite` for bytes that were not declared.
  package mutating func write(bytes: UnsafeRawBufferPointer, of name: String) throws {
    guard let place = places[name],
      written[place] + bytes.count <= layout.entries[place].byteRange.count,
      waiting[place] == nil
    else {
      throw Diagnostic(
        .safetensorsWrite, "\(bytes.count) bytes of tensor \"\(name)\" came out of turn")
    }
    if layout.declarations[place].isBound {
      waiting[place] = Array(bytes)
      return
    }
    if !hasBounds { try write(header: layout.header) }
    try sink(bytes, layout.entries[place].byteRange.lowerBound + written[place])
    written[place] += bytes.count
  }

  /// Ends the file.
  ///
  /// - Returns: bytes of all tensors.
  /// - Throws: `safetensorsWrite` where a tensor is missing.
  @discardableResult
  package mutating func finish() throws -> Int {
    let declared = layout.declarations.indices
    if let missing = declared.first(where: {
      layout.declarations[$0].isBound
        ? waiting[$0] == nil : written[$0] < layout.entries[$0].byteRange.count
    }) {
      throw Diagnostic(
        .safetensorsWrite, "tensor \"\(layout.entries[missing].name)\" was not completed")
    }
    guard hasBounds else {
      try write(header: layout.header)
      return layout.byteCount - layout.header.count
    }
    // Shorter tensors have shorter numbers, so the header fits where the longest would have.
    let final = try SafetensorsLayout(
      layout.declarations.enumerated().map { place, declaration in
        waiting[place].map { Declaration(declaration.name, atMostBytes: $0.count) } ?? declaration
      }, metadata: metadata, headerByteCount: layout.header.count)
    let tail = declared.flatMap { waiting[$0] ?? [] }
    try tail.withUnsafeBytes { try sink($0, final.byteCount - tail.count) }
    try write(header: final.header)
    return final.byteCount - final.header.count
  }

  private var hasBounds: Bool { layout.declarations.last?.isBound == true }

  private mutating func write(header: [UInt8]) throws {
    guard !wroteHeader else { return }
    wroteHeader = true
    try header.withUnsafeBytes { try sink($0, 0) }
  }

  /// Writes tensors that are in memory, given in any order, from the first byte to the last.
  package static func write(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = defaultMetadata,
    to sink: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    try withoutActuallyEscaping(sink) { sink in
      var writer = try SafetensorsWriter(
        tensors.map { Declaration($0.name, $0.tensor.dtype, $0.tensor.shape) },
        metadata: metadata
      ) { bytes, _ in try sink(bytes) }
      let byName = Dictionary(tensors.map { ($0.name, $0.tensor) }, uniquingKeysWith: { $1 })
      for name in writer.names {
        try byName[name]?.withBytes { try writer.write(bytes: $0, of: name) }
      }
      try writer.finish()
    }
  }
}
