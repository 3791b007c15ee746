// The 4-bit format of bitsandbytes: its own files read, decoded and written again.
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct BNB4BitTests {
  private func source(_ path: String) throws -> SafetensorsWeightSource {
    try SafetensorsWeightSource(ShardedSafetensors(files: [SafetensorsFile(path: path)]))
  }

  @Test(arguments: [
    ("linear-nf4", FourBitType.nf4, true, DType.bfloat16),
    ("linear-fp4", .fp4, false, .float32),
  ])
  func readsAndWritesTheSameBytes(
    _ name: String, _ type: FourBitType, _ nested: Bool, _ dtype: DType
  ) throws {
    let path = Goldens.path("safetensors/\(name).safetensors")
    let source = try source(path)
    #expect(source.names == ["layer.weight"])
    #expect(try source.shape(of: "layer.weight") == [37, 61])
    #expect(try source.dtype(of: "layer.weight") == dtype)
    let matrix = try #require(try source.quantizedMatrix("layer.weight"))
    #expect(
      matrix.spec == QuantizationSpec(type: type, blockSize: 64, doubleQuantized: nested))
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(BNB4Bit.tensors("layer.weight", matrix)) { bytes += $0 }
    #expect(try bytes == readBytes(path))
  }

  /// Every golden case, decoded here and by bitsandbytes.
  @Test func decodesGoldens() throws {
    let file = try SafetensorsFile(path: Goldens.path("bnb4bit.safetensors"))
    let cases = try #require(file.metadata["cases"]).split(separator: ",").map(String.init)
    #expect(cases.count == 168)
    for name in cases {
      let parts = name.split(separator: ".")
      let extents = parts[1].split(separator: "x").compactMap { Int($0) }
      let spec = QuantizationSpec(
        type: try #require(FourBitType(rawValue: String(parts[0]))),
        blockSize: try #require(Int(parts[2].dropFirst())), doubleQuantized: parts[4] == "dq")
      let absmax = try file.readTensor(name + ".absmax")
      let packed = try file.readTensor(name + ".packed")
      let scales: BlockScales =
        spec.doubleQuantized
        ? .nested(
          NestedAbsmax(
            codes: absmax, absmax: try file.readTensor(name + ".nested_absmax"),
            map: try file.readTensor(name + ".nested_quant_map"),
            offset: try file.readTensor(name + ".nested_offset")[flat: 0])) : .plain(absmax)
      let matrix = QuantizedMatrix(
        shape: Shape(extents), spec: spec, packed: packed.reshaped([packed.count]),
        scales: scales, sourceDType: try #require(DType(rawValue: String(parts[5]))))
      let expected = try file.readTensor(name + ".dequantized").floats()
      for range in [0..<expected.count, expected.count / 3..<expected.count] {
        var decoded = [Float](repeating: .nan, count: range.count)
        decoded.withUnsafeMutableBufferPointer { BNB4Bit.decode(matrix, range, into: $0) }
        #expect(decoded == Array(expected[range]), "\(name)")
      }
    }
  }

  /// A file of one 4-bit weight whose parts can be changed.
  private func write(
    _ folder: TemporaryFolder, state: String? = nil, without: String? = nil,
    storage: DType = .uint8, replacing: (String, Tensor)? = nil
  ) throws -> String {
    let golden = try source(Goldens.path("safetensors/linear-nf4.safetensors"))
    let matrix = try #require(try golden.quantizedMatrix("layer.weight"))
    var tensors = BNB4Bit.tensors("layer.weight", matrix).filter { $0.name != without }
    for index in tensors.indices {
      if let state, tensors[index].name.contains("quant_state") {
        let text = Array(state.utf8)
        tensors[index].tensor = Tensor(bytes: text, shape: [text.count], dtype: .uint8)
      }
      if tensors[index].name == replacing?.0, let other = replacing?.1 {
        tensors[index].tensor = other
      }
    }
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors) { bytes += $0 }
    return try folder.write(bytes, "x.safetensors")
  }

  @Test(arguments: [
    "", "[]", "{}",
    #"{"quant_type":"nf5","blocksize":64,"dtype":"float32","shape":[37,61]}"#,
    #"{"quant_type":"nf4","blocksize":48,"dtype":"float32","shape":[37,61]}"#,
    #"{"quant_type":"nf4","blocksize":64,"dtype":"int8","shape":[37,61]}"#,
    #"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[37]}"#,
    #"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[37,-61]}"#,
    #"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[4294967296,4294967296]}"#,
    #"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[37,61],"nested_offset":1}"#,
  ])
  func refusesStates(_ state: String) throws {
    let folder = try TemporaryFolder()
    let path = try write(folder, state: state)
    #expect(diagnostic { _ = try source(path) }?.code == .fourBitState)
  }

  @Test func refusesMissingAndMisshapenParts() throws {
    let folder = try TemporaryFolder()
    func code(_ path: String) -> DiagnosticCode? {
      diagnostic { _ = try source(path).quantizedMatrix("layer.weight") }?.code
    }
    for part in ["absmax", "nested_absmax", "nested_quant_map"] {
      #expect(try code(write(folder, without: "layer.weight.\(part)")) == .fourBitTensor)
    }
    #expect(try code(write(folder, without: "layer.weight")) == .fourBitTensor)
    let short = Tensor(zeros: [10], .uint8)
    for part in ["layer.weight", "layer.weight.absmax"] {
      #expect(try code(write(folder, replacing: (part, short))) == .fourBitTensor)
    }
    let fp4 = #"{"quant_type":"fp4","blocksize":64,"dtype":"float32","shape":[37,61]}"#
    #expect(try code(write(folder, state: fp4)) == .fourBitTensor)
  }

  @Test func takesBytesOfAnyStorageType() throws {
    let folder = try TemporaryFolder()
    let state = #"{"shape": [8, 16], "dtype": "float32", "blocksize": 64, "quant_type": "nf4"}"#
    let stored = Tensor(bytes: (0..<64).map { UInt8($0) }, shape: [32, 1], dtype: .bfloat16)
    var bytes: [UInt8] = []
    let text = Array(state.utf8)
    try SafetensorsWriter.write([
      (name: "m.weight", tensor: stored),
      (name: "m.weight.absmax", tensor: Tensor([1, 2], shape: [2])),
      (
        name: "m.weight.quant_state.bitsandbytes__nf4",
        tensor: Tensor(bytes: text, shape: [text.count], dtype: .uint8)
      ),
    ]) { bytes += $0 }
    let source = try source(folder.write(bytes, "x.safetensors"))
    let matrix = try #require(try source.quantizedMatrix("m.weight"))
    #expect(matrix.packed.withElements(UInt8.self) { Array($0) } == (0..<64).map { UInt8($0) })
    let decoded = try source.tensor("m.weight").floats()
    // Byte 33 is 0x21: codes 2 and 1, in the second block of scale 2.
    let table = BNB4Bit.table(.nf4)
    #expect(decoded[66] == table[2] * 2 && decoded[67] == table[1] * 2)
  }

  @Test func spellsTheConfig() {
    let config = QuantizationEntry.json(.fourBit(QuantizationSpec()), computeDType: .bfloat16)
    #expect(config["quant_method"]?.stringValue == "bitsandbytes")
    #expect(config["bnb_4bit_use_double_quant"]?.boolValue == true)
    #expect(config["llm_int8_threshold"]?.doubleValue == 6)
    #expect(config.objectMembers?.count == 13)
  }
}
