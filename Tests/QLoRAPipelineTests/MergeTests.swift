// Merging the golden PEFT adapter into the golden Llama that it was made for: values, shards, and
// what is refused. Scripts/interop/merged_folder.py compares with transformers.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

struct MergeTests {
  let folder: TemporaryFolder
  private let base = Goldens.path("tiny-llama")
  private let adapter = Goldens.path("peft")

  init() throws { folder = try TemporaryFolder() }

  private func merge(
    _ name: String, model: String? = Goldens.path("tiny-llama"), adapter: String? = nil,
    base: MergeBase = .original, dtype: DType = .float32, shardBytes: Int = 1 << 30
  ) throws -> ShardedSafetensors {
    let path = folder.path(name)
    try Pipeline.merge(
      model: model, adapter: adapter ?? self.adapter, base: base, dtype: dtype, to: path,
      shardBytes: shardBytes)
    return try ShardedSafetensors(folder: path)
  }

  /// W + alpha / rank · B·A, summed in double precision.
  @Test func adaptedWeightsAreCorrectedAndNoOthers() throws {
    let adapter = try noisyAdapter()
    let merged = try merge("merged", adapter: adapter)
    let plain = try ShardedSafetensors(folder: base)
    let pairs = Dictionary(
      uniqueKeysWithValues: try PEFTAdapter.read(adapter).pairs.map { ($0.module + ".weight", $0) })
    #expect(Set(merged.names) == Set(plain.names))
    #expect(pairs.count == 2)
    for name in plain.names {
      let (found, original) = (
        try merged.readTensor(name).floats(), try plain.readTensor(name).floats()
      )
      guard let pair = pairs[name] else {
        #expect(found == original)
        continue
      }
      #expect(found != original)
      let (a, b, width) = (pair.a.floats(), pair.b.floats(), pair.a.shape[1])
      for index in found.indices {
        let (row, column) = index.quotientAndRemainder(dividingBy: width)
        let change = (0..<4).reduce(0.0) {
          $0 + Double(b[row * 4 + $1]) * Double(a[$1 * width + column])
        }
        #expect(abs(Double(found[index]) - (Double(original[index]) + 2 * change)) < 1e-6)
      }
    }
  }

  @Test(arguments: MergeBase.allCases)
  func whatIsNotFiniteIsNotMerged(base: MergeBase) throws {
    let model = folder.path("damaged")
    try FileManager.default.copyItem(atPath: self.base, toPath: model)
    let name = "model.norm.weight"
    let file = try SafetensorsFile(path: model + "/model.safetensors")
    let place = try file.entry(name).byteRange.lowerBound + 5 * 4
    var bytes = try Data(contentsOf: URL(filePath: model + "/model.safetensors"))
    // Little-endian: a NaN.
    bytes.replaceSubrange(place..<place + 4, with: [0, 0, 0xC0, 0x7F])
    try FileManager.default.removeItem(atPath: model + "/model.safetensors")
    try bytes.write(to: URL(filePath: model + "/model.safetensors"))
    let found = #expect(throws: Diagnostic.self) {
      try merge("merged", model: model, base: base)
    }
    #expect(found?.code == .nonFiniteWeight && found?.message.hasPrefix("element 5 ") == true)
    #expect(found.map { "\($0)".contains(name) } == true)
    #expect(!FileManager.default.fileExists(atPath: folder.path("merged")))
  }

  @Test(arguments: [DType.bfloat16, .float16])
  func narrowTypesAreFloat32Rounded(_ dtype: DType) throws {
    let adapter = try noisyAdapter()
    let narrow = try merge("narrow", adapter: adapter, dtype: dtype)
    let wide = try merge("wide", adapter: adapter)
    for name in wide.names {
      let values = try wide.readTensor(name).floats()
      let found = try narrow.readTensor(name)
      #expect(found.dtype == dtype)
      let rounded = values.map {
        dtype == .float16
          ? Float(Float16($0)) : Float(bitPattern: UInt32($0.bfloat16Bits) << 16)
      }
      #expect(found.floats() == rounded)
    }
  }

  @Test func shardsHoldWhatOneFileHolds() throws {
    let adapter = try noisyAdapter()
    let whole = try merge("whole", adapter: adapter)
    let limit = 100_000
    let sharded = try merge("sharded", adapter: adapter, shardBytes: limit)
    #expect(whole.files.count == 1 && sharded.files.count > 3)
    for name in whole.names {
      #expect(try sharded.readTensor(name).floats() == whole.readTensor(name).floats())
    }
    for (index, file) in sharded.files.enumerated() {
      let number = "0000\(index + 1)-of-0000\(sharded.files.count)"
      #expect(file.path.hasSuffix("/model-\(number).safetensors"))
      let bytes = file.entries.reduce(0) { $0 + $1.byteRange.count }
      #expect(bytes <= limit || file.entries.count == 1)
    }
    let index = try JSONValue(
      parsing: Array(
        Data(contentsOf: folder.url.appending(path: "sharded/model.safetensors.index.json"))))
    let total = try whole.names.reduce(0) { try $0 + whole.readTensor($1).byteCount }
    #expect(index["metadata"]?["total_size"]?.intValue == total)
  }

  /// A diagnostic of the expected code, and no trace of the output.
  private func refusal(
    _ code: DiagnosticCode, exit: ExitCode, _ body: () throws -> Void
  ) throws -> Diagnostic {
    let before = try FileManager.default.contentsOfDirectory(atPath: folder.url.path())
    let found = try #require(#expect(throws: Diagnostic.self) { try body() })
    #expect(found.code == code && found.code.exitCode == exit)
    let after = try FileManager.default.contentsOfDirectory(atPath: folder.url.path())
    #expect(after.sorted() == before.sorted())
    return found
  }

  @Test func anOutputThatExistsIsLeftAlone() throws {
    try Data("mine".utf8).write(to: folder.url.appending(path: "taken"))
    _ = try refusal(.outputFolderExists, exit: .outputExists) { _ = try merge("taken") }
    #expect(try String(contentsOf: folder.url.appending(path: "taken"), encoding: .utf8) == "mine")
  }

  /// The golden adapter names a folder that is not there.
  @Test func aLostBaseAsksForModel() throws {
    let found = try refusal(.modelMissing, exit: .inputMissing) {
      _ = try merge("merged", model: nil)
    }
    #expect(found.remedy?.contains("--model") == true)
  }

  @Test(arguments: ["model.layers.7.self_attn.q_proj", "lm_head"])
  func anAdapterOfAnotherBaseIsRefused(_ module: String) throws {
    let other = try copiedAdapter { pair in
      if pair.module.hasSuffix("q_proj") { pair.module = module }
    }
    _ = try refusal(.adapterMismatch, exit: .badData) { _ = try merge("merged", adapter: other) }
  }

  @Test func anAdapterOfAnotherShapeIsRefused() throws {
    let other = try copiedAdapter { pair in
      pair.a = Tensor(zeros: [pair.rank, pair.a.shape[1] + 1])
    }
    _ = try refusal(.adapterMismatch, exit: .badData) { _ = try merge("merged", adapter: other) }
  }

  @Test func allThatDoesNotFitIsListed() throws {
    let other = try copiedAdapter { pair in
      if pair.module.hasSuffix("0.self_attn.q_proj") {
        pair.module = "model.layers.7.self_attn.q_proj"
      } else if pair.module.hasSuffix("0.self_attn.v_proj") {
        pair.a = Tensor(zeros: [pair.rank, pair.a.shape[1] + 1])
      }
    }
    let found = try refusal(.adapterMismatch, exit: .badData) {
      _ = try merge("merged", adapter: other)
    }
    for part in [
      "\"model.layers.7.self_attn.q_proj\" is no linear",
      "\"model.layers.0.self_attn.v_proj\": expected lora_A",
    ] {
      #expect(found.message.contains(part), "\(found.message)")
    }
  }

  /// The configuration promises modules that the weights lack, as after a partial save.
  @Test func anAdapterThatLacksItsModulesIsRefused() throws {
    let lacking = try copiedAdapter { config in
      config.targets = .list(["q_proj", "v_proj", "down_proj"])
      config.layersToTransform = nil
    } pairs: { _ in
    }
    let found = try refusal(.adapterMismatch, exit: .badData) {
      _ = try merge("merged", adapter: lacking)
    }
    #expect(found.message.contains("down_proj\": the configuration names it, the weights lack it"))
  }

  /// The golden adapter is fresh: its B is zero and would change nothing.
  private func noisyAdapter() throws -> String {
    var generator = SeededGenerator(seed: 1)
    return try copiedAdapter { pair in
      pair.b = Tensor(generator.normals(pair.b.count, scale: 0.1), shape: pair.b.shape)
    }
  }

  private func copiedAdapter(
    config: (inout PEFTAdapterConfig) -> Void = { _ in },
    pairs change: (inout PEFTAdapter.Pair) -> Void
  ) throws -> String {
    var copy = try PEFTAdapter.read(adapter)
    config(&copy.config)
    for index in copy.pairs.indices { change(&copy.pairs[index]) }
    let path = folder.path("adapter")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(copy.tensors()) { bytes.append(contentsOf: $0) }
    try Data(bytes).write(to: folder.url.appending(path: "adapter/" + PEFTAdapter.weightsName))
    try Data(copy.config.fileText().utf8).write(
      to: folder.url.appending(path: "adapter/" + PEFTAdapterConfig.fileName))
    return path
  }
}
