// Exports for llama.cpp: models with their vocabulary, adapters with their scale, read back by our
// own reader. Scripts/interop/llama_cpp.py has llama.cpp load them.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRAPipeline
import QLoRASystem
import QLoRATensor
import QLoRAText
import TestSupport
import Testing

@Suite struct GGUFExportTests {
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  private func path(_ name: String) -> String { tiny.folder.path(name) }

  @discardableResult
  private func export(
    _ source: String, _ name: String, base: MergeBase = .original, type: GGUFTensorType = .f32
  ) throws -> ModelSource {
    _ = try Pipeline.exportGGUFModel(
      source, model: tiny.modelPath, base: base, type: type, to: path(name))
    return try ModelSource.open(path(name))
  }

  /// An adapter on q, k and down, with noise in B and ranks of its own.
  private func adapter(
    _ change: (inout PEFTAdapterConfig) -> Void = { _ in }
  ) throws -> PEFTAdapter {
    var generator = SeededGenerator(seed: 5)
    let config = try ModelSource.open(tiny.modelPath).config
    let shapes = Dictionary(uniqueKeysWithValues: config.weightShapes.map { ($0.name, $0.shape) })
    let pairs = try [("self_attn.k_proj", 4), ("self_attn.q_proj", 4), ("mlp.down_proj", 2)].map {
      name, rank in
      let module = "model.layers.1.\(name)"
      let shape = try #require(shapes[module + ".weight"])
      return PEFTAdapter.Pair(
        module: module,
        a: Tensor(generator.normals(rank * shape[1]), shape: [rank, shape[1]]),
        b: Tensor(generator.normals(shape[0] * rank), shape: [shape[0], rank]))
    }
    var options = PEFTAdapterConfig(
      baseModel: tiny.modelPath, rank: 4, alpha: 24, targets: .list([]),
      rankPattern: ["down_proj": 2])
    change(&options)
    return PEFTAdapter(config: options, pairs: pairs)
  }

  private func write(_ adapter: PEFTAdapter, _ name: String) throws -> String {
    try FileManager.default.createDirectory(
      atPath: path(name), withIntermediateDirectories: true)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(adapter.tensors()) { bytes += $0 }
    try Data(bytes).write(to: tiny.folder.url.appending(path: "\(name)/adapter_model.safetensors"))
    try tiny.write("\(name)/adapter_config.json", adapter.config.fileText())
    return path(name)
  }

  // MARK: Models

  @Test func aModelIsReadBackWithItsTokenizer() throws {
    let plain = try ModelSource.open(tiny.modelPath)
    let found = try export(tiny.modelPath, "model.gguf")
    #expect(Set(found.weights.names) == Set(plain.weights.names))
    for name in plain.weights.names {
      #expect(try found.weights.tensor(name).floats() == plain.weights.tensor(name).floats())
    }
    var (expected, config) = (plain.config, found.config)
    (expected.dtype, config.dtype) = (nil, nil)
    #expect(config == expected)
    let (old, new) = (try ModelText(plain), try ModelText(found))
    for text in ["call the door 12", "naïve 東京 <|end|>\n", ""] {
      #expect(
        new.tokenizer.encode(text, addSpecialTokens: true)
          == old.tokenizer.encode(text, addSpecialTokens: true))
    }
    #expect(new.tokenizer.chatTemplateSource == old.tokenizer.chatTemplateSource)
    #expect(new.tokenizer.bosToken?.id == old.tokenizer.bosToken?.id)
    #expect(new.tokenizer.eosToken?.id == old.tokenizer.eosToken?.id)
    #expect(new.tokenizer.padToken?.id == old.tokenizer.padToken?.id)
  }

  /// A file from a file keeps its metadata, and its numbers where the type holds them.
  @Test func aFileOfAFileIsTheSame() throws {
    guard case .gguf(let first) = try export(tiny.modelPath, "one.gguf").origin,
      case .gguf(let second) = try export(path("one.gguf"), "two.gguf").origin
    else { return #expect(Bool(false), "not GGUF files") }
    for key in first.keys where key != "general.name" {
      #expect(second.metadata[key] == first.metadata[key], "\(key)")
    }
    #expect(second.keys == first.keys)
    #expect(second.tensors.map(\.name) == first.tensors.map(\.name))
    let tail = { (name: String) in try tiny.bytes(name).suffix(1 << 16) }
    #expect(try tail("one.gguf") == tail("two.gguf"))
  }

  @Test func narrowTypesRoundMatricesAlone() throws {
    let plain = try ModelSource.open(tiny.modelPath)
    for (type, dtype) in [(GGUFTensorType.bf16, DType.bfloat16), (.f16, .float16)] {
      let found = try export(tiny.modelPath, "\(type.name).gguf", type: type)
      for name in plain.weights.names {
        let values = try plain.weights.tensor(name)
        let expected = values.shape.rank == 1 ? values.floats() : values.floats().map(dtype.rounded)
        #expect(try found.weights.tensor(name).floats() == expected)
      }
    }
  }

  @Test func mergedIsWhatAMergedFolderHas() throws {
    let source = try write(try adapter(), "adapter")
    for (base, name) in [(MergeBase.original, "a"), (.decoded, "b")] {
      try Pipeline.merge(
        model: tiny.modelPath, adapter: source, base: base, dtype: .float32, to: path(name))
      let folder = try ShardedSafetensors(folder: path(name))
      let found = try export(source, "\(name).gguf", base: base)
      for tensor in found.weights.names {
        #expect(
          try found.weights.tensor(tensor).floats() == folder.readTensor(tensor).floats())
      }
    }
  }

  @Test(arguments: ["nf4", "int8"])
  func quantizedFoldersAreDecoded(_ type: String) throws {
    var options = QuantizationOptions()
    if type == "int8" { options.quantization = .int8(Int8Spec()) }
    options.dtype = .bfloat16
    _ = try Pipeline.quantize(model: tiny.modelPath, options, to: path(type))
    try Pipeline.dequantize(path(type), dtype: .float32, to: path("plain"))
    let plain = try ShardedSafetensors(folder: path("plain"))
    let found = try export(path(type), "\(type).gguf")
    for name in found.weights.names {
      #expect(try found.weights.tensor(name).floats() == plain.readTensor(name).floats())
    }
  }

  @Test func tokenizersThatLlamaCppCannotSplitAreRefused() throws {
    let text = String(decoding: try tiny.bytes("model/tokenizer.json"), as: UTF8.self)
    let prefix = text.replacing("\"add_prefix_space\":false", with: "\"add_prefix_space\":true")
      .replacing("\"add_prefix_space\": false", with: "\"add_prefix_space\": true")
    #expect(prefix != text)
    try tiny.write("model/tokenizer.json", prefix)
    let found = #expect(throws: Diagnostic.self) { try export(tiny.modelPath, "no.gguf") }
    #expect(found?.code == .tokenizerUnsupported && found?.code.exitCode == .badData)
    #expect(!FileManager.default.fileExists(atPath: path("no.gguf")))
  }

  // MARK: Adapters

  /// B·A as llama.cpp computes it, rows back in Hugging Face order, beside ours.
  private func changes(
    _ adapter: PEFTAdapter, type: GGUFTensorType = .f32, alpha: Float? = nil
  ) throws -> [(found: [Float], expected: [Float])] {
    let output = path("lora-\(adapter.config.alpha)-\(adapter.config.alphaPattern.count).gguf")
    try? FileManager.default.removeItem(atPath: output)
    try Pipeline.exportGGUFAdapter(
      try write(adapter, "adapter"), model: nil, type: type, to: output)
    let file = try GGUFFile(path: output)
    #expect(file.metadata["general.type"]?.string == "adapter")
    #expect(file.metadata["adapter.type"]?.string == "lora")
    #expect(file.metadata["general.architecture"]?.string == "llama")
    let stated = Float(file.metadata["adapter.lora.alpha"]?.double ?? .nan)
    if let alpha { #expect(stated == alpha) }
    let config = try ModelSource.open(tiny.modelPath).config
    #expect(file.tensors.count == 2 * adapter.pairs.count)
    return try adapter.pairs.map { pair in
      let stored = try #require(GGUFNames.gguf(pair.module + ".weight", config))
      let (a, b) = (try floats(file, stored + ".lora_a"), try floats(file, stored + ".lora_b"))
      let order = GGUFHeadRows(pair.module + ".weight", config)
      let rows = pair.b.shape[0]
      var found: [Float] = []
      for row in 0..<rows {
        let at = order?.stored(row) ?? row
        found += product(b, a, at, pair).map { $0 * (stated == 0 ? 1 : stated) / Float(pair.rank) }
      }
      let scale = Float(
        try adapter.config.alphaOverRank(of: pair.module, rank: pair.rank) / Double(pair.rank))
      let expected = (0..<rows).flatMap { row in
        product(pair.b.floats(), pair.a.floats(), row, pair).map { $0 * scale }
      }
      return (found, expected)
    }
  }

  private func floats(_ file: GGUFFile, _ name: String) throws -> [Float] {
    var values = [Float](repeating: .nan, count: try file.tensor(name).count)
    try values.withUnsafeMutableBufferPointer {
      try file.readFloats(name, range: 0..<$0.count, into: $0)
    }
    return values
  }

  private func product(
    _ b: [Float], _ a: [Float], _ row: Int, _ pair: PEFTAdapter.Pair
  ) -> [Float] {
    let (rank, width) = (pair.rank, pair.a.shape[1])
    return (0..<width).map { column in
      (0..<rank).reduce(Float(0)) { $0 + b[row * rank + $1] * a[$1 * width + column] }
    }
  }

  private func expectEqual(_ changes: [(found: [Float], expected: [Float])]) {
    for (found, expected) in changes {
      let largest = expected.map(\.magnitude).max() ?? 0
      let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? 0
      // Three roundings more than ours, of the factor and of B.
      #expect(worst <= 4 * Float.ulpOfOne * largest)
    }
  }

  @Test func anAlphaOfAllIsStated() throws {
    expectEqual(try changes(try adapter(), alpha: 24))
  }

  @Test func whatOneAlphaCannotSayIsInB() throws {
    expectEqual(
      try changes(
        try adapter { $0.alphaPattern = ["k_proj": 7, "down_proj": 0] }, alpha: 24))
    // √4 for two of three.
    expectEqual(try changes(try adapter { $0.usesRankStabilizedScale = true }, alpha: 48))
  }

  @Test func adapterFilesAreInspected() throws {
    try Pipeline.exportGGUFAdapter(
      try write(try adapter(), "adapter"), model: nil, type: .f16, to: path("lora.gguf"))
    let report = try Pipeline.inspect(path: path("lora.gguf"), verify: true)
    #expect(report.kind == "adapter" && report.tensors.count == 6)
    let facts = Dictionary(uniqueKeysWithValues: report.facts.map { ($0.name, $0.value) })
    #expect(facts["alpha"]?.doubleValue == 24 && facts["modules"]?.intValue == 3)
    // Known by its first bytes, whatever it is called.
    try FileManager.default.copyItem(atPath: path("lora.gguf"), toPath: path("lora"))
    #expect(try Pipeline.inspect(path: path("lora"), verify: false).kind == "adapter")
  }

  /// Zero would be no scale at all to llama.cpp.
  @Test func anAlphaOfZeroChangesNothing() throws {
    let changes = try changes(try adapter { $0.alpha = 0 }, alpha: 1)
    #expect(changes.allSatisfy { $0.found.allSatisfy { $0 == 0 } })
  }

  @Test func anAdapterOfAnotherModelIsRefused() throws {
    var other = try adapter()
    other.pairs[0].module = "model.layers.9.self_attn.k_proj"
    let source = try write(other, "other")
    let found = #expect(throws: Diagnostic.self) {
      try Pipeline.exportGGUFAdapter(source, model: nil, type: .f32, to: path("other.gguf"))
    }
    #expect(found?.code == .adapterMismatch)
    #expect(!FileManager.default.fileExists(atPath: path("other.gguf")))
  }

  // MARK: Faults

  /// A disk that is full, a call that fails, a process that dies: at every call the output is
  /// absent, and the next attempt succeeds and leaves nothing beside it.
  @Test(arguments: [Fault.full, .inputOutput, .shortWrite, .crashBefore, .tornWrite])
  func theFileIsCompleteOrAbsent(_ fault: Fault) throws {
    let source = try write(try adapter(), "adapter")
    func attempt(_ fileSystem: any FileSystem) throws {
      try Pipeline.exportGGUFAdapter(
        source, model: nil, type: .f16, to: path("out/lora.gguf"), fileSystem)
    }
    let counting = FaultingFileSystem()
    try attempt(counting)
    let whole = try tiny.bytes("out/lora.gguf")
    try FileManager.default.removeItem(atPath: path("out"))
    for position in 0..<counting.callCount {
      let faulty = FaultingFileSystem(at: position, fault: fault)
      do { try attempt(faulty) } catch {
        let isThere = FileManager.default.fileExists(atPath: path("out/lora.gguf"))
        // The rename is what commits.
        #expect(!isThere || position >= counting.callCount - 1)
        if !fault.isCrash { #expect((error as? Diagnostic)?.code.exitCode == .inputOutput) }
      }
      if !FileManager.default.fileExists(atPath: path("out/lora.gguf")) {
        try attempt(PosixFileSystem())
      }
      #expect(try tiny.bytes("out/lora.gguf") == whole)
      if !fault.isCrash {
        let names = try FileManager.default.contentsOfDirectory(atPath: path("out"))
        #expect(names == ["lora.gguf"])
      }
      try FileManager.default.removeItem(atPath: path("out"))
    }
  }

  @Test func anOutputThatExistsIsLeftAlone() throws {
    try tiny.write("taken.gguf", "mine")
    let found = #expect(throws: Diagnostic.self) { try export(tiny.modelPath, "taken.gguf") }
    #expect(found?.code == .outputFolderExists)
    #expect(try tiny.bytes("taken.gguf") == Array("mine".utf8))
  }
}
