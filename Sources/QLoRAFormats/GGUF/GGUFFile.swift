// Reader of one GGUF file, versions 2 and 3: the header is checked in full when it opens, tensors
// are decoded to floats in pieces on demand. Docs/Formats/gguf.md lists the stricter rules.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor

/// An open GGUF file. Copies share the open file.
package struct GGUFFile: Sendable {
  package let file: InputFile
  package let version: Int
  package let alignment: Int
  package let metadata: [String: GGUFValue]
  /// Metadata keys in the order of the file.
  package let keys: [String]
  /// In the order of the file.
  package let tensors: [GGUFTensor]
  private let indices: [String: Int]

  package var path: String { file.path }

  /// Opens a file and checks its header.
  ///
  /// - Throws: a diagnostic with the byte offset of the first offence.
  package init(path: String) throws(Diagnostic) {
    try self.init(file: InputFile(path: path))
  }

  package init(file: InputFile) throws(Diagnostic) {
    var header = GGUFHeader(file)
    try header.read()
    self.file = file
    version = header.version
    alignment = header.alignment
    metadata = header.metadata
    keys = header.keys
    tensors = header.tensors
    var indices: [String: Int] = [:]
    for (index, tensor) in header.tensors.enumerated() { indices[tensor.name] = index }
    self.indices = indices
  }

  package func contains(_ name: String) -> Bool { indices[name] != nil }

  /// - Throws: `tensorMissing`.
  package func tensor(_ name: String) throws(Diagnostic) -> GGUFTensor {
    guard let index = indices[name] else {
      throw Diagnostic(
        .tensorMissing, "there is no tensor \"\(name)\" among the \(tensors.count) of the file",
        at: .file(path))
    }
    return tensors[index]
  }

  /// Elements `range` of the flattened tensor, decoded.
  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    let tensor = try tensor(name)
    try checkRange(
      range, count: tensor.count, room: destination.count, name: name, path: path)
    guard let target = destination.baseAddress, !range.isEmpty else { return }
    let elements = tensor.type.blockElements
    let bytes = tensor.type.blockBytes
    let firstBlock = range.lowerBound / elements
    let endBlock = (range.upperBound + elements - 1) / elements
    // Whole blocks per piece, so that a block never straddles two reads.
    let step = max(1, InputFile.pieceBytes / bytes)
    for block in stride(from: firstBlock, to: endBlock, by: step) {
      let blocks = block..<min(endBlock, block + step)
      let start = tensor.byteRange.lowerBound + blocks.lowerBound * bytes
      try file.forEachPiece(from: start, count: blocks.count * bytes) { piece, _ in
        Self.decode(piece, tensor.type, blocks, range, target)
      }
    }
  }

  /// Decodes `blocks`, which `piece` holds, and stores what `range` covers of them at its place.
  // SAFETY: `piece` holds `blocks.count` whole blocks, `target` has room for `range.count` floats
  // (`checkRange`), and a block that `range` covers in part goes through a block of its own.
  private static func decode(
    _ piece: UnsafeRawBufferPointer, _ type: GGUFTensorType, _ blocks: Range<Int>,
    _ range: Range<Int>, _ target: UnsafeMutablePointer<Float>
  ) {
    guard let input = piece.baseAddress else { return }
    let elements = type.blockElements
    let wholeStart = max(blocks.lowerBound, (range.lowerBound + elements - 1) / elements)
    let wholeEnd = min(blocks.upperBound, range.upperBound / elements)
    if wholeStart < wholeEnd {
      GGUFBlocks.decode(
        input + (wholeStart - blocks.lowerBound) * type.blockBytes, type,
        count: wholeEnd - wholeStart, into: target + (wholeStart * elements - range.lowerBound))
    }
    // At most the first and the last block are covered in part.
    for block in Set([blocks.lowerBound, blocks.upperBound - 1])
    where block < wholeStart || block >= wholeEnd {
      withUnsafeTemporaryAllocation(of: Float.self, capacity: elements) { scratch in
        guard let values = scratch.baseAddress else { return }
        GGUFBlocks.decode(
          input + (block - blocks.lowerBound) * type.blockBytes, type, count: 1, into: values)
        let wanted = range.clamped(to: (block * elements)..<((block + 1) * elements))
        (target + (wanted.lowerBound - range.lowerBound)).update(
          from: values + (wanted.lowerBound - block * elements), count: wanted.count)
      }
    }
  }
}
