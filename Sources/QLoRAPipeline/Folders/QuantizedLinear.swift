// One linear's weight on its way into a quantized folder: the tensors that stand for it, declared
// before they are made, and made when the folder asks for them.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

struct QuantizedLinear {
  let model: ForeignModel
  /// `<m>.weight`.
  let name: String
  /// `[out, in]`, also where the file has `[in, out]`.
  let shape: Shape
  /// The type that the weight has when it is quantized.
  let dtype: DType
  let options: QuantizationOptions
  let backend: any Backend

  /// - Parameter shape: in the file.
  /// - Throws: where the model's files do not have the weight.
  init(
    model: ForeignModel, name: String, shape: Shape, options: QuantizationOptions,
    backend: any Backend
  ) throws {
    self.model = model
    self.name = name
    self.shape = model.isTransposed(name) ? Shape(shape.extents.reversed()) : shape
    self.options = options
    self.backend = backend
    let own = try model.weights.dtype(of: name)
    // A state knows no wider type than float32.
    dtype = options.dtype ?? (own == .float64 ? .float32 : own)
  }

  /// - Parameter done: called when the weight was quantized.
  func tensors(done: @escaping () -> Void) -> FolderTensors {
    FolderTensors(
      declarations: Self.declarations(name, shape, options.quantization, dtype)
    ) { give in
      for (name, tensor) in try made() { try tensor.withBytes { try give(name, $0) } }
      done()
    }
  }

  /// The tensors that stand for a weight of this shape.
  static func declarations(
    _ name: String, _ shape: Shape, _ quantization: WeightQuantization, _ dtype: DType
  ) -> [SafetensorsWriter.Declaration] {
    switch quantization {
    case .fourBit(let spec): BNB4Bit.declarations(name, shape, spec, sourceDType: dtype)
    case .int8: BNB8Bit.declarations(name, shape)
    }
  }

  /// The same with their contents.
  static func parts(
    _ name: String, _ weight: any PreparedWeight, _ dtype: DType, _ backend: any Backend
  ) throws -> [(name: String, tensor: Tensor)] {
    if let matrix = backend.quantizedMatrix(weight, sourceDType: dtype) {
      return BNB4Bit.tensors(name, matrix)
    }
    if let matrix = backend.int8Matrix(weight) { return BNB8Bit.tensors(name, matrix) }
    throw Diagnostic(.nothingToQuantize, "the backend made no quantized weight of it")
  }

  /// - Throws: `weightNotFinite`, what reading throws; in the end with the tensor's place.
  private func made() throws -> [(name: String, tensor: Tensor)] {
    do {
      return try Self.parts(name, try quantized(), dtype, backend)
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, diagnostic.message, at: model.place(name), remedy: diagnostic.remedy)
    }
  }

  private func quantized() throws -> any PreparedWeight {
    let own = try model.weights.dtype(of: name)
    let builder = try backend.makeWeightBuilder(
      outFeatures: shape[0], inFeatures: shape[1], options.quantization.storage)
    let whole = try transposed()
    try builder.fill { range, floats in
      if let whole {
        whole.read(range, into: floats)
      } else {
        try model.weights.readFloats(name, range: range, into: floats)
      }
      round(floats, from: own)
    }
    return try builder.finish()
  }

  /// The weight, all of it in memory, where the file has it transposed.
  private func transposed() throws -> TransposedMatrix? {
    guard model.isTransposed(name) else { return nil }
    return try TransposedMatrix(Shape(shape.extents.reversed()), backend) {
      try model.weights.readFloats(name, range: 0..<shape.count, into: $0)
    }
  }

  /// Rounds elements of type `own` to the type that the weight is quantized in.
  private func round(_ floats: UnsafeMutableBufferPointer<Float>, from own: DType) {
    guard dtype != .float32, dtype != own else { return }
    for index in floats.indices { floats[index] = dtype.rounded(floats[index]) }
  }
}
