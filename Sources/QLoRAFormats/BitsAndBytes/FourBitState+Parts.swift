// The tensors that belong to one 4-bit weight: checked by the files' headers alone, then read.
import QLoRADiagnostics
import QLoRATensor

extension QuantizationSpec {
  /// What the scales of `count` values are kept as: the end of the tensor's name, its type and how
  /// many there are.
  func scaleParts(_ count: Int) -> [(suffix: String, dtype: DType, count: Int)] {
    let blocks = (count + blockSize - 1) / blockSize
    guard doubleQuantized else { return [("absmax", .float32, blocks)] }
    let group = Self.nestedBlockSize
    return [
      ("absmax", .uint8, blocks), ("nested_absmax", .float32, (blocks + group - 1) / group),
      ("nested_quant_map", .float32, 256),
    ]
  }
}

extension FourBitState {
  private var packedCount: Int { (shape.count + 1) / 2 }

  private var scaleParts: [(suffix: String, dtype: DType, count: Int)] {
    spec.scaleParts(shape.count)
  }

  /// - Throws: `fourBitTensor` for a part that is missing or of another size than the state says.
  func check(_ weight: String, in files: ShardedSafetensors) throws {
    let found = try files.entry(weight).byteRange.count
    guard found == packedCount else {
      throw Diagnostic(
        .fourBitTensor, "expected \(packedCount) bytes of codes for \(shape), found \(found)",
        at: .tensor(file: try files.file(of: weight).path, name: weight))
    }
    for (suffix, dtype, count) in scaleParts {
      let name = "\(weight).\(suffix)"
      guard files.contains(name) else {
        throw Diagnostic(
          .fourBitTensor, "the 4-bit weight \"\(weight)\" lacks its tensor \"\(name)\"",
          at: .tensor(file: try files.file(of: weight).path, name: weight))
      }
      let entry = try files.entry(name)
      guard entry.dtype == dtype, entry.shape.count == count else {
        throw Diagnostic(
          .fourBitTensor,
          "expected \(count) values of \(dtype.safetensorsName), found \(entry.shape) of "
            + entry.dtype.safetensorsName,
          at: .tensor(file: try files.file(of: name).path, name: name))
      }
    }
  }

  /// Bytes of codes and scales, without tables and states.
  func byteCount(_ weight: String, in files: ShardedSafetensors) throws -> Int {
    try scaleParts.filter { $0.suffix != "nested_quant_map" }
      .reduce(files.entry(weight).byteRange.count) {
        $0 + (try files.entry("\(weight).\($1.suffix)").byteRange.count)
      }
  }

  /// Reads codes and scales, which were checked; whatever `quant_storage` type the codes have,
  /// their bytes are taken.
  func matrix(_ name: String, in files: ShardedSafetensors) throws -> QuantizedMatrix {
    let stored = try files.readTensor(name)
    let packed = Tensor(
      shape: [packedCount], dtype: .uint8, storage: stored.storage, byteOffset: stored.byteOffset)
    let parts = try scaleParts.map {
      try files.readTensor("\(name).\($0.suffix)").reshaped([$0.count])
    }
    let scales: BlockScales =
      nestedOffset.map {
        .nested(NestedAbsmax(codes: parts[0], absmax: parts[1], map: parts[2], offset: $0))
      } ?? .plain(parts[0])
    return QuantizedMatrix(
      shape: shape, spec: spec, packed: packed, scales: scales, sourceDType: dtype)
  }
}
