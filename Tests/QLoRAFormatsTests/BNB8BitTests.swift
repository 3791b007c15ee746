// The 8-bit format of bitsandbytes: weights read and written again, and what is wrong with some.
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct BNB8BitTests {
  private static let codes: [Int8] = [127, -64, 0, -127, 1, -128]
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private typealias Named = (name: String, tensor: Tensor)

  private static var matrix: Int8Matrix {
    Int8Matrix(
      codes: Tensor(
        bytes: codes.map { UInt8(bitPattern: $0) }, shape: [2, 3], dtype: .int8),
      scales: Tensor([2, 0.5], shape: [2]))
  }

  private func source(_ tensors: [Named]) throws -> SafetensorsWeightSource {
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors.map { ($0.name, $0.tensor) }) { bytes += $0 }
    let path = try folder.write(bytes, "model.safetensors")
    return try SafetensorsWeightSource(ShardedSafetensors(files: [SafetensorsFile(path: path)]))
  }

  private func refusal(_ change: (inout [Named]) -> Void) -> Diagnostic? {
    var tensors = BNB8Bit.tensors("q.weight", Self.matrix)
    change(&tensors)
    return diagnostic { _ = try source(tensors) }
  }

  private func bytes(_ tensor: Tensor) -> [UInt8] { tensor.withBytes { Array($0) } }

  @Test func readsWhatItWrites() throws {
    let tensors = BNB8Bit.tensors("q.weight", Self.matrix)
    #expect(tensors.map(\.name) == ["q.weight", "q.SCB", "q.weight_format"])
    #expect(tensors[2].tensor.shape == [] && bytes(tensors[2].tensor) == [0])
    let source = try source(tensors)
    #expect(source.names == ["q.weight"])
    #expect(try source.shape(of: "q.weight") == [2, 3])
    #expect(try source.storedBytes("q.weight") == 6 + 8)
    let matrix = try #require(try source.int8Matrix("q.weight"))
    #expect(bytes(matrix.codes) == bytes(Self.matrix.codes))
    #expect(matrix.scales.floats() == [2, 0.5])
    #expect(try source.quantizedMatrix("q.weight") == nil)
  }

  @Test(arguments: [0..<6, 1..<5, 3..<4, 5..<6, 2..<2])
  func decodesAnyRange(range: Range<Int>) throws {
    let source = try source(BNB8Bit.tensors("q.weight", Self.matrix))
    var found = [Float](repeating: .nan, count: range.count)
    try found.withUnsafeMutableBufferPointer {
      try source.readFloats("q.weight", range: range, into: $0)
    }
    #expect(found == range.map { Float(Self.codes[$0]) * ($0 < 3 ? 2 : 0.5) * (1 / Float(127)) })
  }

  @Test func theFormatMayBeAbsent() throws {
    let source = try source(Array(BNB8Bit.tensors("q.weight", Self.matrix).prefix(2)))
    #expect(try source.int8Matrix("q.weight") != nil)
  }

  @Test func othersKeepTheirNames() throws {
    let plain = Tensor([1, 2], shape: [2])
    let source = try source([("norm.SCB", plain), ("norm.weight", plain)])
    #expect(source.names.sorted() == ["norm.SCB", "norm.weight"])
  }

  @Test func refusesWhatIsNotWhole() throws {
    let missing = refusal { $0.remove(at: 1) }
    #expect(missing?.code == .int8Tensor && missing?.message.contains("q.SCB") == true)
    #expect(refusal { $0[1].tensor = Tensor([1, 2, 3], shape: [3]) }?.code == .int8Tensor)
    #expect(
      refusal { $0[1].tensor = Tensor(zeros: [2], .int32) }?.code == .int8Tensor)
    #expect(
      refusal { $0[2].tensor = Tensor(bytes: [2], shape: [], dtype: .uint8) }?.code == .int8Tensor)
    #expect(
      refusal { $0[0].tensor = $0[0].tensor.reshaped([6]) }?.code == .int8Tensor)
  }
}
