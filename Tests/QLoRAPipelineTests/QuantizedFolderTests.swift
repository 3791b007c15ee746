// Folders in 4 bits, written and read. Scripts/interop/quantized_folder.py compares with the
// libraries.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct QuantizedFolderTests {
  let folder: ForeignFolder

  init() throws { folder = try ForeignFolder() }

  private func tensors(_ name: String) throws -> [String: [UInt8]] {
    let files = try ShardedSafetensors(folder: folder.path(name))
    return try Dictionary(
      uniqueKeysWithValues: files.names.map {
        ($0, try files.readTensor($0).withBytes { Array($0) })
      })
  }

  /// Odd widths, sizes that fill no block, both types, nested scales: as bitsandbytes stores them.
  @Test func equalsTheGoldens() throws {
    let goldens = try SafetensorsFile(path: Goldens.path("bnb4bit.safetensors"))
    let cases = (goldens.metadata["cases"] ?? "").split(separator: ",")
      .filter { $0.hasSuffix("float32") }
    #expect(cases.count > 60)
    for (number, name) in cases.enumerated() {
      let words = name.split(separator: ".")
      var options = QuantizationOptions()
      options.quantization = .fourBit(
        QuantizationSpec(
          type: words[0] == "fp4" ? .fp4 : .nf4, blockSize: Int(words[2].dropFirst()) ?? 0,
          doubleQuantized: words.contains("dq")))
      let input = try goldens.readTensor(name + ".input")
      guard input.shape.rank == 2 else { continue }
      try folder.write([("m.weight", input)], to: "in\(number)")
      _ = try Pipeline.quantize(
        model: folder.path("in\(number)"), options, to: folder.path("out\(number)"))
      let found = try tensors("out\(number)")
      for (suffix, golden) in [
        ("", "packed"), (".absmax", "absmax"), (".nested_absmax", "nested_absmax"),
        (".nested_quant_map", "nested_quant_map"),
      ] where goldens.contains("\(name).\(golden)") {
        let expected = try goldens.readTensor("\(name).\(golden)").withBytes { Array($0) }
        #expect(found["m.weight" + suffix] == expected, "\(name) \(suffix)")
      }
    }
  }

  @Test func whatIsNotALinearStaysByteForByte() throws {
    _ = try folder.quantize("out")
    let (before, after) = (try tensors("model"), try tensors("out"))
    for name in ["embed_tokens.weight", "norm.weight", "q.bias", "position_ids"] {
      #expect(after[name] != nil && after[name] == before[name])
    }
    #expect(after["q.weight"]?.count == 17 * 64 / 2)
    #expect(try folder.json("out", "config.json")["dtype"] == nil)
    let text = try String(contentsOfFile: folder.path("out/spiece.model"), encoding: .utf8)
    #expect(text == "pieces")
  }

  @Test func aTypeIsForAllFloats() throws {
    var options = QuantizationOptions()
    options.dtype = .bfloat16
    _ = try folder.quantize("out", options)
    let files = try ShardedSafetensors(folder: folder.path("out"))
    #expect(try files.entry("embed_tokens.weight").dtype == .bfloat16)
    #expect(try files.entry("position_ids").dtype == .int64)
    let source = try SafetensorsWeightSource(files)
    #expect(try source.quantizedMatrix("q.weight")?.sourceDType == .bfloat16)
    #expect(try folder.json("out", "config.json")["dtype"]?.stringValue == "bfloat16")
  }

  @Test func configListsSkippedModules() throws {
    var options = QuantizationOptions()
    options.skip = ["q"]
    options.computeDType = .bfloat16
    options.quantization = .fourBit(QuantizationSpec(type: .fp4, doubleQuantized: false))
    _ = try folder.quantize("out", options)
    let entry = try folder.json("out", "config.json")["quantization_config"]
    #expect(
      entry
        == QuantizationEntry.json(
          options.quantization, computeDType: .bfloat16,
          skippedModules: [
            "embed_tokens", "lm_head", "lm_head.decoder", "predictions.decoder", "proj_out", "q",
            "vocab_projector",
          ]))
    #expect(try tensors("out")["q.weight"] == tensors("model")["q.weight"])
  }

  /// GPT-2 keeps linears as `[in, out]`: quantized is the transpose, dequantized is as it was.
  @Test func transposedLinears() throws {
    let plain = try ShardedSafetensors(folder: folder.path("model")).readTensor("k.weight")
    let (rows, columns) = (plain.shape[0], plain.shape[1])
    let values = plain.floats()
    let turned = (0..<rows * columns).map { values[$0 % rows * columns + $0 / rows] }
    let name = "h.0.c_fc.weight"
    try folder.write([(name, Tensor(values, shape: [rows, columns]))], type: "gpt2", to: "gpt2")
    try folder.write([(name, Tensor(turned, shape: [columns, rows]))], to: "turned")
    for model in ["gpt2", "turned"] {
      _ = try Pipeline.quantize(model: folder.path(model), .init(), to: folder.path(model + "4"))
    }
    #expect(try tensors("gpt24") == tensors("turned4"))
    try Pipeline.dequantize(folder.path("gpt24"), dtype: .float32, to: folder.path("plain"))
    let found = try ShardedSafetensors(folder: folder.path("plain")).readTensor(name)
    let decoded = try SafetensorsWeightSource(ShardedSafetensors(folder: folder.path("turned4")))
      .tensor(name).floats()
    #expect(found.shape == [rows, columns])
    let again = found.floats()
    #expect((0..<rows * columns).map { again[$0 % rows * columns + $0 / rows] } == decoded)
  }

  @Test func dequantizedIsTheDefinition() throws {
    _ = try folder.quantize("out")
    try Pipeline.dequantize(folder.path("out"), dtype: .float32, to: folder.path("plain"))
    let quantized = try SafetensorsWeightSource(ShardedSafetensors(folder: folder.path("out")))
    let plain = try ShardedSafetensors(folder: folder.path("plain"))
    #expect(Set(plain.names) == Set(quantized.names))
    for name in ["q.weight", "k.weight"] {
      #expect(try plain.readTensor(name).floats() == quantized.tensor(name).floats())
    }
    let table = "embed_tokens.weight"
    #expect(try plain.readTensor(table).floats() == quantized.tensor(table).floats())
    #expect(try folder.json("plain", "config.json")["quantization_config"] == nil)
  }

  /// diffusers reads file by file: a weight's six tensors must not be parted.
  @Test func shardsKeepAWeightTogether() throws {
    var options = QuantizationOptions()
    options.shardBytes = 1
    try FileManager.default.moveItem(
      atPath: folder.path("model/model.safetensors"),
      toPath: folder.path("model/diffusion_pytorch_model.safetensors"))
    _ = try folder.quantize("out", options)
    let stem = "diffusion_pytorch_model"
    let files = try ShardedSafetensors(folder: folder.path("out"), stem: stem)
    #expect(files.files.count == 6)
    for name in files.names where name.hasPrefix("q.weight") {
      #expect(try files.file(of: name).path == files.file(of: "q.weight").path)
    }
    let index = try folder.json("out", stem + ".safetensors.index.json")
    #expect(index["weight_map"]?.objectMembers?.count == files.names.count)
  }

  /// What a killed start left goes with the next; what others are writing stays.
  @Test func nothingIsLeftBeside() throws {
    let dead = "4194400-0123456789abcdef"
    for name in [".tmp-out-\(dead)", ".tmp-other-\(dead)"] {
      try FileManager.default.createDirectory(
        atPath: folder.path(name), withIntermediateDirectories: true)
    }
    _ = try folder.quantize("out")
    #expect(try folder.names() == [".tmp-other-\(dead)", "model", "out"])
  }

  @Test func inspectCountsAsTheLibraryDoes() throws {
    _ = try folder.quantize("out")
    let facts = try Pipeline.inspect(path: folder.path("out"), verify: true).facts
    func fact(_ name: String) -> JSONValue? { facts.first { $0.name == name }?.value }
    // Codes of two linears; table, norm and bias in bf16; eight positions of eight bytes.
    let codes = 17 * 64 / 2 + (9 * 7 + 1) / 2
    #expect(fact("memoryFootprintBytes")?.intValue == codes + 2 * (10 * 64 + 64 + 17) + 8 * 8)
    let quantized = fact("parts")?["quantized"]
    #expect(quantized?["parameters"]?.intValue == 17 * 64 + 9 * 7)
    #expect(quantized?["bytes"]?.intValue == codes + 17 + 1 + 4 + 4)
    #expect(fact("warnings")?.arrayValue?.count == 1)
    #expect(fact("architecture")?.stringValue == "foreign")
  }

  @Test func warnsOfPatternsThatNameNothing() throws {
    var options = QuantizationOptions()
    options.skip = ["q", "lm_hed", "embed_.*"]
    let warnings = try folder.quantize("out", options).filter { $0.contains("--skip") }
    #expect(warnings.count == 1 && warnings[0].contains("\"lm_hed\""))
  }

  @Test func warnsOfAnotherComputeType() throws {
    #expect(try folder.quantize("out").count == 1)
    var options = QuantizationOptions()
    options.computeDType = .bfloat16
    #expect(try folder.quantize("agreed", options).isEmpty)
  }

  /// As the Hugging Face cache keeps models: every file of a snapshot is a link to a blob.
  @Test func copiesFilesThatAreLinks() throws {
    let files = FileManager.default
    let snapshot = folder.path("models--a--b/snapshots/1")
    let blobs = folder.path("models--a--b/blobs")
    for path in [snapshot, blobs] {
      try files.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    for name in try files.contentsOfDirectory(atPath: folder.path("model")) {
      try files.moveItem(atPath: folder.path("model/\(name)"), toPath: "\(blobs)/\(name)")
      try files.createSymbolicLink(
        atPath: "\(snapshot)/\(name)", withDestinationPath: "../../blobs/\(name)")
    }
    _ = try Pipeline.quantize(model: snapshot, .init(), to: folder.path("out"))
    let copied = folder.path("out/spiece.model")
    #expect(try files.attributesOfItem(atPath: copied)[.type] as? FileAttributeType == .typeRegular)
    #expect(try Data(contentsOf: URL(filePath: copied)) == Data("pieces".utf8))
    #expect(try tensors("out")["q.weight"]?.count == 17 * 64 / 2)
  }
}
