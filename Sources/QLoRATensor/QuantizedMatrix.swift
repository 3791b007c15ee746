// The 4-bit blockwise format of bitsandbytes as plain tensors (Docs/Formats/bitsandbytes.md). This
// is the layout of files; backends keep weights in layouts of their own.

/// The two 4-bit code tables.
package enum FourBitType: String, Sendable, CaseIterable {
  case nf4, fp4

  /// `[16]`: what each code decodes to.
  /// Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, appendix E.
  package var values: [Float] { self == .nf4 ? Self.nf4Values : Self.fp4Values }

  private static let nf4Values: [Float] = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
  ]

  /// Sign, two exponent bits, one mantissa bit, over 12.
  private static let fp4Values: [Float] = [
    0, 0.0625 / 12, 8 / 12, 1, 4 / 12, 6 / 12, 2 / 12, 3 / 12,
    0, -0.0625 / 12, -8 / 12, -1, -4 / 12, -6 / 12, -2 / 12, -3 / 12,
  ]
}

/// How a weight is quantized.
package struct QuantizationSpec: Sendable, Hashable {
  package var type: FourBitType
  /// Weights per absmax: 32, 64, 128 … 4096.
  package var blockSize: Int
  /// Whether the absmax values are quantized to 8 bits in turn.
  package var doubleQuantized: Bool

  package static let validBlockSizes = [32, 64, 128, 256, 512, 1024, 2048, 4096]

  /// Absmax values per nested block; fixed by bitsandbytes.
  package static let nestedBlockSize = 256

  package init(type: FourBitType = .nf4, blockSize: Int = 64, doubleQuantized: Bool = true) {
    self.type = type
    self.blockSize = blockSize
    self.doubleQuantized = doubleQuantized
  }
}

/// The second level of double quantization.
/// Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, section 3.
package struct NestedAbsmax: Sendable {
  /// `[blocks]` uint8: codes into `map`.
  package var codes: Tensor
  /// `[ceil(blocks / 256)]` float32.
  package var absmax: Tensor
  /// `[256]` float32, the signed dynamic map.
  package var map: Tensor
  /// The mean that was subtracted before the codes were made.
  package var offset: Float

  package init(codes: Tensor, absmax: Tensor, map: Tensor, offset: Float) {
    self.codes = codes
    self.absmax = absmax
    self.map = map
    self.offset = offset
  }
}

/// Block scales, plain or quantized in turn.
package enum BlockScales: Sendable {
  /// `[blocks]` float32.
  case plain(Tensor)
  case nested(NestedAbsmax)
}

/// A `[out, in]` matrix in 4 bits: element `i` of the flattened matrix is nibble `i % 2` (high
/// first) of byte `i / 2`, scaled by block `i / blockSize`.
package struct QuantizedMatrix: Sendable {
  package var shape: Shape
  package var spec: QuantizationSpec
  /// `[(count + 1) / 2]` uint8.
  package var packed: Tensor
  package var scales: BlockScales
  /// The type the weight had before it was quantized, and which decoding rounds to.
  package var sourceDType: DType

  package init(
    shape: Shape, spec: QuantizationSpec, packed: Tensor, scales: BlockScales, sourceDType: DType
  ) {
    self.shape = shape
    self.spec = spec
    self.packed = packed
    self.scales = scales
    self.sourceDType = sourceDType
  }

  package var blockCount: Int { (shape.count + spec.blockSize - 1) / spec.blockSize }
}
