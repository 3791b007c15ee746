// A model of random weights that no file holds, for measuring shapes larger than any file at hand.
// Linears are drawn as 4-bit codes where they are to be quantized, so no floats are made of them.
import QLoRADiagnostics
import QLoRARandom
import QLoRATensor

/// Weights as a fresh Llama has them: standard deviation 0.02, norms of 1. Each tensor is a pure
/// function of its name and the piece that is asked for.
struct RandomWeights: WeightSource {
  static let deviation: Float = 0.02

  let names: [String]
  private let shapes: [String: Shape]
  private let spec: QuantizationSpec?

  init(_ config: ModelConfig, quantization spec: QuantizationSpec?) {
    let tensors = config.weightShapes
    names = tensors.map(\.name)
    shapes = Dictionary(tensors.map { ($0.name, $0.shape) }) { $1 }
    self.spec = spec
  }

  func contains(_ name: String) -> Bool { shapes[name] != nil }

  func shape(of name: String) throws -> Shape {
    guard let shape = shapes[name] else {
      throw Diagnostic(.tensorMissing, "a model of this shape has no tensor \"\(name)\"")
    }
    return shape
  }

  func dtype(of name: String) throws -> DType { .bfloat16 }

  func readFloats(
    _ name: String, range: Range<Int>, into destination: UnsafeMutableBufferPointer<Float>
  ) throws {
    if name.hasSuffix("norm.weight") {
      destination.update(repeating: 1)
      return
    }
    var random = SplitMix64(seed: UInt64(range.lowerBound), name: name)
    // A uniform deviate of 0 ..< 1 has standard deviation 1/√12.
    let width = Self.deviation * Float(12).squareRoot()
    for index in destination.indices {
      destination[index] = (Float(random.next() >> 40) * 0x1p-24 - 0.5) * width
    }
  }

  func quantizedMatrix(_ name: String) throws -> QuantizedMatrix? {
    guard let spec, name.hasSuffix("_proj.weight") else { return nil }
    let shape = try shape(of: name)
    var random = SplitMix64(seed: 0, name: name)
    let blocks = (shape.count + spec.blockSize - 1) / spec.blockSize
    let packed = Self.bytes((shape.count + 1) / 2, &random)
    if spec.type == .nf4 { Self.center(packed) }
    return QuantizedMatrix(
      shape: shape, spec: spec, packed: packed, scales: Self.scales(spec, blocks, &random),
      sourceDType: .bfloat16)
  }

  private static func bytes(_ count: Int, _ random: inout SplitMix64) -> Tensor {
    let tensor = Tensor(uninitialized: [count], .uint8)
    tensor.withMutableBytes { random.fill($0) }
    return tensor
  }

  /// Puts 0 in the place of the value 0.338, which leaves a mean of 0.002 instead of 0.023: a mean
  /// adds up over a row, and gradients of what it drowns are rounding alone.
  private static func center(_ codes: Tensor) {
    let (ones, unwanted, zero): (UInt8, UInt8, UInt8) = (0x11, 0xBB, 0x77)
    codes.withMutableBytes { bytes in
      for index in bytes.indices {
        // A bit for each of both codes that is to be another.
        let apart = bytes[index] ^ unwanted
        let found = ~(apart | apart >> 1 | apart >> 2 | apart >> 3) & ones
        bytes[index] ^= found &* 0xF & (unwanted ^ zero)
      }
    }
  }

  /// Half to one and a half times what gives uniformly drawn codes the deviation: the root mean
  /// square of the sixteen values of NF4 is 0.52.
  private static func scales(
    _ spec: QuantizationSpec, _ blocks: Int, _ random: inout SplitMix64
  ) -> BlockScales {
    let middle = deviation / 0.52
    guard spec.doubleQuantized else {
      return .plain(Tensor((0..<blocks).map { _ in middle }, shape: [blocks]))
    }
    let nestedBlocks =
      (blocks + QuantizationSpec.nestedBlockSize - 1) / QuantizationSpec.nestedBlockSize
    return .nested(
      NestedAbsmax(
        codes: bytes(blocks, &random),
        absmax: Tensor([Float](repeating: middle / 2, count: nestedBlocks), shape: [nestedBlocks]),
        map: Tensor((0..<256).map { Float($0) / 127.5 - 1 }, shape: [256]), offset: middle))
  }
}
