// A model without its weights' values: names, types and shapes come from the file, zeros instead of
// the rest.
import QLoRATensor

extension ModelSource {
  /// The same model with zeros for values, of which nothing is read.
  package var shapeOnly: ModelSource {
    var isMade = false
    if case .random = origin { isMade = true }
    return ModelSource(
      config: config, weights: ShapeOnlyWeights(base: weights, isMade: isMade), origin: origin,
      digestInputs: digestInputs, int8Spec: int8Spec)
  }
}

struct ShapeOnlyWeights: WeightSource {
  let base: any WeightSource
  /// Whether no file holds the weights: then nothing is stored, in 4 bits or otherwise.
  let isMade: Bool

  var names: [String] { base.names }
  func contains(_ name: String) -> Bool { base.contains(name) }
  func shape(of name: String) throws -> Shape { try base.shape(of: name) }
  func dtype(of name: String) throws -> DType { try base.dtype(of: name) }

  func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    destination.update(repeating: 0)
  }

  /// As stored: only its data say how it was quantized.
  func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? {
    isMade ? nil : try base.quantizedMatrix(name)
  }

  func int8Matrix(_ name: String) throws -> Int8Matrix? { try base.int8Matrix(name) }
}
