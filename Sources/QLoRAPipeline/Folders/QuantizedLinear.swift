// One linear's weight on its way into a quantized folder: the tensors that stand for it, declared
// before they are made, and made when the folder asks for them.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

struct QuantizedLinear {
  let model: ForeignModel
  /// `<m>.weight`, of shape `[out, in]`.
  let name: String
  let shape: Shape
  /// The type that the weight has when it is quantized.
  let dtype: DType
  let options: QuantizationOptions
  let backend: any Backend

  /// - Throws: where the model's files do not have the weight.
  init(
    model: ForeignModel, name: String, shape: Shape, options: QuantizationOptions,
    backend: any Backend
  ) throws {
    self.model = model
    self.name = name
    self.shape = shape
    self.options = options
    self.backend = backend
    let own = try model.weights.dtype(of: name)
    // A state knows no wider type than float32.
    dtype = options.dtype ?? (own == .float64 ? .float32 : own)
  }

  /// - Parameter done: called when the weight was quantized.
  func tensors(done: @escaping () -> Void) -> FolderTensors {
    FolderTensors(
      declarations: BNB4Bit.declarations(name, shape, options.spec, sourceDType: dtype)
    ) { give in
      for (name, tensor) in BNB4Bit.tensors(name, try matrix()) {
        try tensor.withBytes { try give(name, $0) }
      }
      done()
    }
  }

  /// - Throws: `weightNotFinite`, what reading throws; in the end with the tensor's place.
  private func matrix() throws -> QuantizedMatrix {
    do {
      let builder = try backend.makeWeightBuilder(
        outFeatures: shape[0], inFeatures: shape[1], .fourBit(options.spec))
      try builder.fill(read)
      let weight = try builder.finish()
      guard let matrix = backend.quantizedMatrix(weight, sourceDType: dtype) else {
        throw Diagnostic(.nothingToQuantize, "the backend made no 4-bit weight of it")
      }
      return matrix
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, diagnostic.message, at: model.place(name), remedy: diagnostic.remedy)
    }
  }

  /// The weight's elements, rounded to the type that it is quantized in.
  private func read(_ range: Range<Int>, into floats: UnsafeMutableBufferPointer<Float>) throws {
    try model.weights.readFloats(name, range: range, into: floats)
    guard dtype != .float32, dtype != (try model.weights.dtype(of: name)) else { return }
    for index in floats.indices { floats[index] = dtype.rounded(floats[index]) }
  }
}
