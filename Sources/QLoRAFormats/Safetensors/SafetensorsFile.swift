// Reader of one safetensors file: its header is checked in full when it opens, its tensors are read
// in pieces on demand. Docs/Formats/safetensors.md lists where it is stricter than the format.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor

/// An open safetensors file. Copies share the open file.
package struct SafetensorsFile: Sendable {
  package let file: InputFile
  /// In the order of the header.
  package let entries: [TensorEntry]
  package let metadata: [String: String]
  private let indices: [String: Int]

  package var path: String { file.path }

  /// Opens a file and checks its header.
  ///
  /// - Throws: a diagnostic with the byte offset of the first offence.
  package init(path: String) throws(Diagnostic) {
    try self.init(file: InputFile(path: path))
  }

  package init(file: InputFile) throws(Diagnostic) {
    self.file = file
    let header = try SafetensorsHeader(reading: file)
    entries = header.entries
    metadata = header.metadata
    var indices: [String: Int] = [:]
    indices.reserveCapacity(entries.count)
    for (index, entry) in entries.enumerated() { indices[entry.name] = index }
    self.indices = indices
  }

  package func contains(_ name: String) -> Bool { indices[name] != nil }

  /// - Throws: `tensorMissing`.
  package func entry(_ name: String) throws(Diagnostic) -> TensorEntry {
    guard let index = indices[name] else {
      throw Diagnostic(
        .tensorMissing, "there is no tensor \"\(name)\" among the \(entries.count) of the file",
        at: .file(path))
    }
    return entries[index]
  }

  /// The whole tensor in its own type.
  package func readTensor(_ name: String) throws -> Tensor {
    let entry = try entry(name)
    let tensor = Tensor(uninitialized: entry.shape, entry.dtype)
    try tensor.withMutableBytes { try file.read(at: entry.byteRange.lowerBound, into: $0) }
    return tensor
  }

  /// Elements `range` of the flattened tensor as floats; `float64` is rounded.
  ///
  /// - Throws: `tensorNotFloat` for integers, and what reading throws.
  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let entry = try entry(name)
    try checkRange(
      range, count: entry.shape.count, room: destination.count, name: name, path: path)
    guard let target = destination.baseAddress, !range.isEmpty else { return }
    let size = entry.dtype.byteSize
    let start = entry.byteRange.lowerBound + range.lowerBound * size
    // SAFETY: `checkRange` saw that `destination` has room for `range.count` floats, and each
    // piece below is at most what is left of them.
    switch entry.dtype {
    case .float32:
      try file.read(
        at: start, into: UnsafeMutableRawBufferPointer(start: target, count: range.count * size))
    case .float16, .bfloat16, .float64:
      try file.forEachPiece(from: start, count: range.count * size) { piece, done in
        let count = piece.count / size
        let output = target + done / size
        guard let input = piece.baseAddress else { return }
        switch entry.dtype {
        case .float16:
          Widening.binary16(input.assumingMemoryBound(to: UInt16.self), output, count: count)
        case .bfloat16:
          Widening.bfloat16(input.assumingMemoryBound(to: UInt16.self), output, count: count)
        default:
          Widening.binary64(input.assumingMemoryBound(to: Double.self), output, count: count)
        }
      }
    default:
      throw Diagnostic(
        .tensorNotFloat, "expected floating point values, found \(entry.dtype.safetensorsName)",
        at: .tensor(file: path, name: name))
    }
  }
}

/// Refuses a range beyond a tensor or a destination before any memory is touched.
func checkRange(
  _ range: Range<Int>, count: Int, room: Int, name: String, path: String
) throws(Diagnostic) {
  guard range.lowerBound >= 0, range.upperBound <= count, range.count <= room else {
    throw Diagnostic(
      .tensorRange,
      "elements \(range.lowerBound)..<\(range.upperBound) were asked for, into room for \(room); "
        + "the tensor has \(count)", at: .tensor(file: path, name: name))
  }
}

extension InputFile {
  /// Bytes per piece of a streamed read: large beside the cost of a system call, small beside the
  /// second-level cache. A multiple of every element and of eight.
  package static let pieceBytes = 1 << 18

  /// Reads `count` bytes from `start` on in aligned pieces; `body` gets each with the number of
  /// bytes before it.
  package func forEachPiece(
    from start: Int, count: Int, _ body: (UnsafeRawBufferPointer, Int) throws -> Void
  ) throws {
    let capacity = min(count, Self.pieceBytes)
    // SAFETY: the scratch lives until the end of this call and `body` gets only what was read.
    let scratch = UnsafeMutableRawBufferPointer.allocate(
      byteCount: capacity, alignment: Storage.alignment)
    defer { scratch.deallocate() }
    var done = 0
    while done < count {
      let piece = UnsafeMutableRawBufferPointer(rebasing: scratch[..<min(capacity, count - done)])
      try read(at: start + done, into: piece)
      try body(UnsafeRawBufferPointer(piece), done)
      done += piece.count
    }
  }
}
