// Weights from safetensors files, plain or in a format of bitsandbytes. The tensors that describe a
// quantized weight are hidden behind the weight's own name.
import QLoRADiagnostics
import QLoRATensor

package struct SafetensorsWeightSource: WeightSource {
  package let files: ShardedSafetensors
  package let names: [String]
  private let present: Set<String>
  private let fourBit: [String: FourBitState]
  private let eightBit: Set<String>

  /// - Throws: `fourBitState`, `fourBitTensor` or `int8Tensor` for a quantized weight that is not
  ///   whole.
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
    let eightBit = Set(
      try files.names.filter { try fourBit[$0] == nil && BNB8Bit.isWeight($0, in: files) })
    self.eightBit = eightBit
    names = files.names.filter { name in
      if let weight = BNB8Bit.weightName(of: name), eightBit.contains(weight) { return false }
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
    // Before rows are quantized to 8 bits, they are rounded to float16.
    if eightBit.contains(name) { return .float16 }
    return try fourBit[name]?.dtype ?? files.entry(name).dtype
  }

  package func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    if eightBit.contains(name) {
      return try BNB8Bit.readFloats(name, range: range, into: destination, in: files)
    }
    guard let matrix = try quantizedMatrix(name) else {
      return try files.file(of: name).readFloats(name, range: range, into: destination)
    }
    try checkRange(
      range, count: matrix.shape.count, room: destination.count, name: name,
      path: files.file(of: name).path)
    BNB4Bit.decode(matrix, range, into: destination)
  }

  /// How a weight is quantized to 4 bits; nil where it is not.
  package func fourBitSpec(_ name: String) -> QuantizationSpec? { fourBit[name]?.spec }

  package func isQuantized(_ name: String) -> Bool {
    fourBit[name] != nil || eightBit.contains(name)
  }

  package func isEightBit(_ name: String) -> Bool { eightBit.contains(name) }

  /// Bytes of the weight: of a quantized one codes and scales, without tables and states.
  package func storedBytes(_ name: String) throws -> Int {
    if eightBit.contains(name) { return try BNB8Bit.byteCount(name, in: files) }
    return try fourBit[name]?.byteCount(name, in: files) ?? files.entry(name).byteRange.count
  }

  package func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? {
    try fourBit[name]?.matrix(name, in: files)
  }

  package func int8Matrix(_ name: String) throws -> Int8Matrix? {
    eightBit.contains(name) ? try BNB8Bit.matrix(name, in: files) : nil
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
