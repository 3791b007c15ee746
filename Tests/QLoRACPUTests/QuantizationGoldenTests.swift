// Our 4-bit encoder and decoder against bitsandbytes, byte for byte.
import QLoRATensor
import Testing

import QLoRACPU

struct QuantizationGoldenTests {
  static let goldens = try! QuantizationGoldens()

  /// `nf4.96x160.b64.outlier.dq.bfloat16` and its like.
  private static func spec(_ name: String) -> (QuantizationSpec, DType) {
    let parts = name.split(separator: ".").map(String.init)
    let spec = QuantizationSpec(
      type: parts[0] == "nf4" ? .nf4 : .fp4, blockSize: Int(parts[2].dropFirst()) ?? 0,
      doubleQuantized: parts[4] == "dq")
    return (spec, parts[5] == "bfloat16" ? .bfloat16 : .float32)
  }

  @Test(arguments: CPUBackend.instructionSets)
  func allCasesAreFoundAndEncodeIdentically(instructionSet: String) throws {
    #expect(Self.goldens.cases.count == 168)
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    for name in Self.goldens.cases { try encode(name, backend) }
  }

  private func encode(_ name: String, _ backend: CPUBackend) throws {
    let (spec, dtype) = Self.spec(name)
    let input = try #require(Self.goldens.tensor(name + ".input"))
    let builder = try backend.makeWeightBuilder(
      outFeatures: input.shape[0], inFeatures: input.shape[1], .fourBit(spec))
    // In two uneven pieces.
    let values = input.floats()
    try values.withUnsafeBufferPointer { all in
      try builder.append(UnsafeBufferPointer(rebasing: all[..<(all.count / 3)]))
      try builder.append(UnsafeBufferPointer(rebasing: all[(all.count / 3)...]))
    }
    let weight = try builder.finish()
    let matrix = try #require(backend.quantizedMatrix(weight, sourceDType: dtype))
    expect(matrix, equals: name)

    let decoded = backend.allocate(input.shape, .float32)
    backend.decode(weight, rows: 0..<input.shape[0], into: decoded)
    expect(decoded, decodesTo: name, dtype)

    // Through the layout of files and back.
    let again = try backend.prepare(matrix)
    expect(try #require(backend.quantizedMatrix(again, sourceDType: dtype)), equals: name)
    decoded.zero()
    backend.decode(again, rows: 0..<input.shape[0], into: decoded)
    expect(decoded, decodesTo: name, dtype)
  }

  private func expect(_ matrix: QuantizedMatrix, equals name: String) {
    let goldens = Self.goldens
    #expect(matrix.packed.bytes == goldens.bytes(name + ".packed"), "\(name)")
    switch matrix.scales {
    case .plain(let absmax):
      #expect(absmax.bytes == goldens.bytes(name + ".absmax"), "\(name)")
    case .nested(let nested):
      #expect(nested.codes.bytes == goldens.bytes(name + ".absmax"), "\(name)")
      #expect(nested.absmax.bytes == goldens.bytes(name + ".nested_absmax"), "\(name)")
      #expect(nested.map.bytes == goldens.bytes(name + ".nested_quant_map"), "\(name)")
      let offset = Tensor([nested.offset], shape: [1])
      #expect(offset.bytes == goldens.bytes(name + ".nested_offset"), "\(name)")
    }
  }

  private func expect(_ decoded: Tensor, decodesTo name: String, _ dtype: DType) {
    let expected = Self.goldens.bytes(name + ".dequantized")
    if dtype == .float32 {
      #expect(decoded.bytes == expected, "\(name)")
    } else {
      let bits = decoded.floats().flatMap { value in
        [UInt8(value.bfloat16Bits & 255), UInt8(value.bfloat16Bits >> 8)]
      }
      #expect(bits == expected, "\(name)")
    }
  }
}
