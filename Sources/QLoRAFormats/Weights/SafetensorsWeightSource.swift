// Weights from safetensors files, plain or in the 4-bit format of bitsandbytes. The tensors that
// describe a 4-bit weight are hidden behind the weight's own name.
import QLoRADiagnostics
import QLoRATensor

package struct SafetensorsWeightSource: WeightSource {
  package let files: ShardedSafetensors
  package let names: [String]
  private let present: Set<String>
  private let fourBit: [String: FourBitState]

  /// - Throws: `fourBitState` or `fourBitTensor` for a quantized weight that is not whole.
  package init(_ files: ShardedSafetensors) throws {
    self.files = files
    try FourBitState.checkNames(files)
    var fourBit: [String: FourBitState] = [:]
    for name in files.names {
      guard let weight = FourBitState.weightName(ofState: name) else { continue }
      let state = try FourBitState(reading: name, of: weight, in: files)
      try state.check(weight, in: files)
      fourBit[weight] = state
    }
    self.fourBit = fourBit
    names = files.names.filter { name in
      guard let mark = name.range(ofSuffixFrom: ".weight.") else { return true }
      return fourBit[String(name[..<mark])] == nil
    }
    present = Set(names)
  }

  package func contains(_ name: String) -> Bool { present.contains(name) }

  package func shape(of name: String) throws -> Shape {
    try fourBit[name]?.shape ?? files.entry(name).shape
  }

  package func dtype(of name: String) throws -> DType {
    try fourBit[name]?.dtype ?? files.entry(name).dtype
  }

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    guard let matrix = try quantizedMatrix(name) else {
      return try files.file(of: name).readFloats(name, range: range, into: destination)
    }
    try checkRange(
      range, count: matrix.shape.count, room: destination.count, name: name,
      path: files.file(of: name).path)
    BNB4Bit.decode(matrix, range, into: destination)
  }

  /// How a weight is quantized; nil where it is not.
  package func fourBitSpec(_ name: String) -> QuantizationSpec? { fourBit[name]?.spec }

  /// Bytes of the weight: of a 4-bit one codes and scales, without tables and states.
  package func storedBytes(_ name: String) throws -> Int {
    try fourBit[name]?.byteCount(name, in: files) ?? files.entry(name).byteRange.count
  }

  package func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? {
    try fourBit[name]?.matrix(name, in: files)
  }
}

extension String {
  /// The index just before the last dot of the last occurrence of `mark`: for `.weight.`, where
  /// the name of the weight itself ends.
  fileprivate func range(ofSuffixFrom mark: String) -> String.Index? {
    var start = endIndex
    while start > startIndex {
      start = index(before: start)
      if self[start...].hasPrefix(mark) { return index(start, offsetBy: mark.count - 1) }
    }
    return nil
  }
}
