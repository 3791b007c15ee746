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

  /// - Throws: `fourBitState` for a state of a type other than nf4 and fp4, and for codes without
  ///   any state.
  static func checkNames(_ files: ShardedSafetensors) throws {
    let states = Set(files.names.compactMap(weightName(ofState:)))
    func place(_ name: String) throws -> DiagnosticLocation {
      .tensor(file: try files.file(of: name).path, name: name)
    }
    if let unknown = files.names.first(where: {
      $0.contains(".quant_state.") && weightName(ofState: $0) == nil
    }) {
      throw Diagnostic(
        .fourBitState, "the state is of an unknown type; known are nf4 and fp4",
        at: try place(unknown))
    }
    for name in files.names {
      let entry = try files.entry(name)
      let looksPacked =
        files.contains(name + ".absmax")
        || entry.dtype == .uint8 && entry.shape.rank == 2 && entry.shape[1] == 1
      if name.hasSuffix(".weight"), looksPacked, !states.contains(name) {
        throw Diagnostic(
          .fourBitState, "the weight is packed but its quant_state is missing",
          at: try place(name),
          remedy: "get the model again from its source")
      }
    }
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

}
