// The 8-bit format of bitsandbytes (LLM.int8) as tensors of a file. Encoding and fast products
// belong to backends.
import QLoRADiagnostics
import QLoRATensor

/// Source: Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339.
package enum BNB8Bit {
  private static let scales = "SCB"
  private static let format = "weight_format"
  /// Codes of row-major order, the only one that is still written.
  private static let rowMajor: UInt8 = 0

  /// The tensors that stand for the weight `name` (`….weight`) in a file, as bitsandbytes names
  /// and shapes them.
  package static func tensors(
    _ name: String, _ matrix: Int8Matrix
  ) -> [(name: String, tensor: Tensor)] {
    [
      (name, matrix.codes), (sibling(name, scales), matrix.scales),
      (sibling(name, format), Tensor(bytes: [rowMajor], shape: [], dtype: .uint8)),
    ]
  }

  /// What `tensors` gives, before there is a matrix.
  package static func declarations(
    _ name: String, _ shape: Shape
  ) -> [SafetensorsWriter.Declaration] {
    [
      .init(name, .int8, shape), .init(sibling(name, scales), .float32, [shape[0]]),
      .init(sibling(name, format), .uint8, []),
    ]
  }

  /// The weight that a tensor describes, where it is one of those that stand beside 8-bit weights.
  static func weightName(of name: String) -> String? {
    for part in [scales, format] where name.hasSuffix("." + part) {
      return String(name.dropLast(part.count)) + "weight"
    }
    return nil
  }

  private static func sibling(_ weight: String, _ part: String) -> String {
    weight.dropLast("weight".count) + part
  }

  /// - Parameter name: of a tensor; whether it is an 8-bit weight.
  /// - Throws: `int8Tensor` for one whose scales are missing or of another size, or whose codes are
  ///   not in row-major order.
  static func isWeight(_ name: String, in files: ShardedSafetensors) throws -> Bool {
    let entry = try files.entry(name)
    guard name.hasSuffix(".weight"), entry.dtype == .int8 else { return false }
    func failure(_ message: String, _ tensor: String) throws -> Diagnostic {
      Diagnostic(
        .int8Tensor, message, at: .tensor(file: try files.file(of: tensor).path, name: tensor))
    }
    guard entry.shape.rank == 2, entry.shape.count > 0 else {
      throw try failure("an 8-bit weight is a matrix, but its shape is \(entry.shape)", name)
    }
    let scaleName = sibling(name, scales)
    guard files.contains(scaleName) else {
      throw try failure("the 8-bit weight lacks its scales \"\(scaleName)\"", name)
    }
    let scaleEntry = try files.entry(scaleName)
    guard scaleEntry.dtype == .float32, scaleEntry.shape.count == entry.shape[0] else {
      throw try failure(
        "expected \(entry.shape[0]) values of F32, found \(scaleEntry.shape) of "
          + scaleEntry.dtype.safetensorsName, scaleName)
    }
    let formatName = sibling(name, format)
    guard files.contains(formatName) else { return true }
    let code = try files.file(of: formatName).readTensor(formatName)
    guard code.dtype == .uint8, code.count == 1, code.withBytes({ $0[0] }) == rowMajor else {
      throw try failure("only row-major 8-bit weights (0) are read", formatName)
    }
    return true
  }

  /// The weight as stored, `name` being one that `isWeight` knows.
  static func matrix(_ name: String, in files: ShardedSafetensors) throws -> Int8Matrix {
    let scaleName = sibling(name, scales)
    let scales = try files.file(of: scaleName).readTensor(scaleName)
    return Int8Matrix(
      codes: try files.file(of: name).readTensor(name), scales: scales.reshaped([scales.count]))
  }

  /// Elements `range` of the flattened matrix: code · scale / 127, rounded after each operation.
  static func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>,
    in files: ShardedSafetensors
  ) throws {
    let (entry, file) = (try files.entry(name), try files.file(of: name))
    try checkRange(
      range, count: entry.shape.count, room: destination.count, name: name, path: file.path)
    if range.isEmpty { return }
    let (width, unit) = (entry.shape[1], 1 / Float(127))
    let rows = range.lowerBound / width..<(range.upperBound - 1) / width + 1
    let scaleName = sibling(name, scales)
    var scales = [Float](repeating: 0, count: rows.count)
    try scales.withUnsafeMutableBufferPointer {
      try files.file(of: scaleName).readFloats(scaleName, range: rows, into: $0)
    }
    try file.file.forEachPiece(
      from: entry.byteRange.lowerBound + range.lowerBound, count: range.count
    ) { piece, done in
      for (index, byte) in piece.enumerated() {
        let place = done + index
        let scale = scales[(range.lowerBound + place) / width - rows.lowerBound]
        destination[place] = Float(Int8(bitPattern: byte)) * scale * unit
      }
    }
  }

  /// Bytes of codes and scales.
  static func byteCount(_ name: String, in files: ShardedSafetensors) throws -> Int {
    try files.entry(name).byteRange.count + files.entry(sibling(name, scales)).byteRange.count
  }
}
