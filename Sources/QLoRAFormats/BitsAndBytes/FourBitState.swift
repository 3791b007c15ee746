// Reads one linear's 4-bit weight from the tensors that bitsandbytes stores for it: packed codes,
// block scales, perhaps nested, and a JSON text that says how they belong together.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

/// What the quant_state JSON of a weight says.
struct FourBitState: Sendable {
  let shape: Shape
  let dtype: DType
  let spec: QuantizationSpec
  /// The mean that was taken off nested scales.
  let nestedOffset: Float?

  static let stateMark = ".quant_state.bitsandbytes__"
  /// The JSON is below two hundred bytes.
  private static let maximumStateBytes = 1 << 16

  /// `<m>.weight` for `<m>.weight.quant_state.bitsandbytes__nf4`; nil for other names.
  static func weightName(ofState name: String) -> String? {
    for type in FourBitType.allCases {
      let suffix = stateMark + type.rawValue
      if name.hasSuffix(suffix) { return String(name.dropLast(suffix.count)) }
    }
    return nil
  }

  /// - Throws: `fourBitState` for a state that cannot be used, `fourBitTensor` where its name and
  ///   its content disagree.
  init(reading name: String, of weight: String, in files: ShardedSafetensors) throws {
    let path = try files.file(of: name).path
    let entry = try files.entry(name)
    let place = DiagnosticLocation.tensor(file: path, name: name)
    guard entry.dtype == .uint8, entry.byteRange.count <= Self.maximumStateBytes else {
      throw Diagnostic(
        .fourBitState,
        "expected a short JSON text as U8, found \(entry.byteRange.count) bytes of "
          + entry.dtype.safetensorsName, at: place)
    }
    let text = try files.readTensor(name).withElements(UInt8.self) { Array($0) }
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue(parsing: text)
    } catch {
      throw Diagnostic(.fourBitState, "not valid JSON: \(error.message)", at: place)
    }
    try self.init(json: json, at: place)
    guard name.hasSuffix(spec.type.rawValue), files.contains(weight) else {
      throw Diagnostic(
        .fourBitTensor, "the state says \(spec.type.rawValue) of \"\(weight)\"", at: place)
    }
  }

  init(json: JSONValue, at place: DiagnosticLocation) throws(Diagnostic) {
    guard let type = json["quant_type"]?.stringValue.flatMap(FourBitType.init(rawValue:)) else {
      throw Diagnostic(.fourBitState, "quant_type must be \"nf4\" or \"fp4\"", at: place)
    }
    guard let blockSize = json["blocksize"]?.intValue,
      QuantizationSpec.validBlockSizes.contains(blockSize)
    else {
      throw Diagnostic(
        .fourBitState, "blocksize must be one of \(QuantizationSpec.validBlockSizes)", at: place)
    }
    guard let dtype = json["dtype"]?.stringValue.flatMap(DType.init(rawValue:)),
      [.float16, .bfloat16, .float32].contains(dtype)
    else {
      throw Diagnostic(
        .fourBitState, "dtype must be float16, bfloat16 or float32", at: place)
    }
    guard let extents = json["shape"]?.arrayValue?.compactMap(\.intValue), extents.count == 2,
      extents.allSatisfy({ $0 > 0 }), checkedProduct(extents, times: 4) != nil
    else {
      throw Diagnostic(.fourBitState, "shape must be two positive numbers", at: place)
    }
    let offset = json["nested_offset"]
    if offset != nil {
      guard json["nested_blocksize"]?.intValue == QuantizationSpec.nestedBlockSize,
        json["nested_dtype"]?.stringValue == "float32", offset?.doubleValue?.isFinite == true
      else {
        throw Diagnostic(
          .fourBitState,
          "nested scales must be float32 in blocks of "
            + "\(QuantizationSpec.nestedBlockSize) with a finite offset", at: place)
      }
    }
    nestedOffset = offset?.doubleValue.map { Float($0) }
    shape = Shape(extents)
    self.dtype = dtype
    spec = QuantizationSpec(type: type, blockSize: blockSize, doubleQuantized: offset != nil)
  }

  /// Reads codes and scales; whatever `quant_storage` type the codes have, their bytes are taken.
  func matrix(_ name: String, in files: ShardedSafetensors) throws -> QuantizedMatrix {
    let blocks = (shape.count + spec.blockSize - 1) / spec.blockSize
    let stored = try files.readTensor(name)
    let packedCount = (shape.count + 1) / 2
    guard stored.byteCount == packedCount else {
      throw Diagnostic(
        .fourBitTensor,
        "expected \(packedCount) bytes of codes for \(shape), found \(stored.byteCount)",
        at: .tensor(file: try files.file(of: name).path, name: name))
    }
    let packed = Tensor(
      shape: [packedCount], dtype: .uint8, storage: stored.storage, byteOffset: stored.byteOffset)
    let scales: BlockScales
    if let nestedOffset {
      let groups =
        (blocks + QuantizationSpec.nestedBlockSize - 1) / QuantizationSpec.nestedBlockSize
      scales = .nested(
        NestedAbsmax(
          codes: try part(name, "absmax", .uint8, blocks, files),
          absmax: try part(name, "nested_absmax", .float32, groups, files),
          map: try part(name, "nested_quant_map", .float32, 256, files),
          offset: nestedOffset))
    } else {
      scales = .plain(try part(name, "absmax", .float32, blocks, files))
    }
    return QuantizedMatrix(
      shape: shape, spec: spec, packed: packed, scales: scales, sourceDType: dtype)
  }

  private func part(
    _ weight: String, _ suffix: String, _ dtype: DType, _ count: Int, _ files: ShardedSafetensors
  ) throws -> Tensor {
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
    return try files.readTensor(name).reshaped([count])
  }
}
