// Tensors on their way into a folder: what they will be, and what gives their bytes.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// Tensors that are made together, and of which none may be in another file than the others.
struct FolderTensors {
  typealias Consume = (UnsafeRawBufferPointer) throws -> Void
  typealias Give = (_ name: String, _ bytes: UnsafeRawBufferPointer) throws -> Void

  let declarations: [SafetensorsWriter.Declaration]
  /// Gives the bytes of every tensor, those of one in order, in pieces.
  let make: (_ give: Give) throws -> Void

  var byteCount: Int { declarations.reduce(0) { $0 + $1.byteCount } }
}

extension FolderTensors {
  /// One tensor, which `stream` gives in order, in pieces.
  init(
    _ declaration: SafetensorsWriter.Declaration,
    stream: @escaping (_ consume: Consume) throws -> Void
  ) {
    declarations = [declaration]
    make = { give in try stream { try give(declaration.name, $0) } }
  }
}

/// Makes folder tensors of a model's weights.
struct TensorSupply {
  /// Floats per piece: 4 MiB, small beside any model and large beside a read's overhead.
  private static let pieceElements = 1 << 20

  let model: ForeignModel
  let backend: any Backend
  /// The type of floats; nil keeps each one's own.
  let dtype: DType?

  private var weights: any WeightSource { model.weights }

  /// The tensor as plain numbers; a quantized weight is decoded, and as the library keeps it.
  /// Integers stay what they are.
  func plain(_ name: String) throws -> FolderTensors {
    var shape = try weights.shape(of: name)
    let isPacked = weights.isQuantized(name)
    if isPacked, model.isTransposed(name) { shape = Shape(shape.extents.reversed()) }
    let own = try weights.dtype(of: name)
    let target = own.isFloatingPoint ? dtype ?? own : own
    let declaration = SafetensorsWriter.Declaration(name, target, shape)
    if let source = weights as? SafetensorsWeightSource, !isPacked, target == own {
      return FolderTensors(declaration) { consume in
        let file = try source.files.file(of: name)
        let range = try file.entry(name).byteRange
        try file.file.forEachPiece(from: range.lowerBound, count: range.count) { piece, _ in
          try consume(piece)
        }
      }
    }
    return FolderTensors(declaration) { try convert(name, shape, to: target, $0) }
  }

  private func convert(
    _ name: String, _ shape: Shape, to target: DType, _ consume: FolderTensors.Consume
  ) throws {
    let matrix = try weights.quantizedMatrix(name)
    var transposed: TransposedMatrix?
    if weights.isQuantized(name), model.isTransposed(name) {
      let whole = 0..<shape.count
      transposed = try TransposedMatrix(try weights.shape(of: name), backend) {
        if let matrix {
          BNB4Bit.decode(matrix, whole, into: $0)
        } else {
          try weights.readFloats(name, range: whole, into: $0)
        }
      }
    }
    for start in stride(from: 0, to: shape.count, by: Self.pieceElements) {
      let range = start..<min(shape.count, start + Self.pieceElements)
      let piece = backend.allocate([range.count], .float32)
      try piece.withMutableElements(Float.self) { floats in
        if let transposed {
          transposed.read(range, into: floats)
        } else if let matrix {
          BNB4Bit.decode(matrix, range, into: floats)
        } else {
          try weights.readFloats(name, range: range, into: floats)
        }
      }
      try give(piece, as: target, on: backend, consume)
    }
  }
}

/// Gives a float32 piece's elements in another type.
func give(
  _ piece: Tensor, as target: DType, on backend: any Backend, _ consume: FolderTensors.Consume
) throws {
  if target == .float32 { return try piece.withBytes(consume) }
  let converted = backend.allocate(piece.shape, target)
  backend.convert(piece, into: converted)
  backend.synchronize()
  try converted.withBytes(consume)
}
