// Adapters as PEFT saves them: read, written again to the same bytes, and refused when not whole.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct PEFTAdapterTests {
  @Test func readsAndWritesTheSameBytes() throws {
    let adapter = try PEFTAdapter.read(Goldens.path("peft"))
    #expect(adapter.config.rank == 4)
    #expect(adapter.config.alpha == 8)
    #expect(adapter.config.dropout == 0.05)
    #expect(adapter.config.baseModel == "models/grüße")
    #expect(adapter.config.layersToTransform == [0])
    #expect(
      adapter.pairs.map(\.module) == [
        "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj",
      ])
    #expect(adapter.pairs.map(\.a.shape) == [[4, 64], [4, 64]])
    #expect(adapter.pairs.map(\.b.shape) == [[64, 4], [32, 4]])
    #expect(adapter.pairs[1].rank == 4)
    let config = try readBytes(Goldens.path("peft/adapter_config.json"))
    #expect(Array(adapter.config.fileText().utf8) == config)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(adapter.tensors()) { bytes += $0 }
    #expect(try bytes == readBytes(Goldens.path("peft/adapter_model.safetensors")))
  }

  @Test func keepsPatternsThroughAFile() throws {
    let config = PEFTAdapterConfig(
      baseModel: nil, rank: 8, alpha: 12.5, targets: .pattern("all-linear"),
      usesRankStabilizedScale: true, modulesToSave: ["z", "a"],
      rankPattern: ["q_proj": 4, "b": 2], alphaPattern: ["q_proj": 16])
    let text = config.fileText()
    #expect(text.contains("\"lora_alpha\": 12.5"))
    #expect(text.contains("\"target_modules\": \"all-linear\""))
    var read = try PEFTAdapterConfig(json: JSONValue(parsing: text), path: "x")
    #expect(read.modulesToSave == ["a", "z"])
    read.modulesToSave = config.modulesToSave
    #expect(read == config)
  }

  @Test(arguments: [
    "[]", "{}", #"{"peft_type":"IA3","r":4,"lora_alpha":8}"#,
    #"{"peft_type":"LORA","lora_alpha":8}"#, #"{"peft_type":"LORA","r":0,"lora_alpha":8}"#,
    #"{"peft_type":"LORA","r":4}"#, #"{"peft_type":"LORA","r":4,"lora_alpha":"8"}"#,
    #"{"peft_type":"LORA","r":4,"lora_alpha":8,"target_modules":[1]}"#,
    #"{"peft_type":"LORA","r":4,"lora_alpha":8,"fan_in_fan_out":true}"#,
    #"{"peft_type":"LORA","r":4,"lora_alpha":8,"use_dora":true}"#,
    #"{"peft_type":"LORA","r":4,"lora_alpha":8,"use_rslora":"yes"}"#,
    #"{"peft_type":"LORA","r":4,"lora_alpha":8,"rank_pattern":{"q":0}}"#,
    #"{"peft_type":"LORA","r":4,"lora_alpha":8,"alpha_pattern":{"q":"1"}}"#,
    #"{"peft_type":"LORA","r":4,"r":5,"lora_alpha":8}"#, "{",
  ])
  func refusesConfigs(_ text: String) throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(text, "adapter_config.json")
    let found = diagnostic { _ = try PEFTAdapter.read(folder.path("")) }
    #expect(found?.code == .adapterConfig)
  }

  @Test func toleratesUnknownMembers() throws {
    let text = #"{"peft_type":"LORA","r":4,"lora_alpha":8,"from_the_future":{"x":[1]}}"#
    #expect(try PEFTAdapterConfig(json: JSONValue(parsing: text), path: "x").rank == 4)
  }

  static let name = "base_model.model.model.layers.0.mlp.up_proj"

  @Test(
    arguments: [
      ([], DiagnosticCode.adapterEmpty),
      ([(name + ".lora_A.weight", [2, 8])], .adapterKeys),
      ([(name + ".lora_B.weight", [8, 2])], .adapterKeys),
      ([(name + ".lora_A.weight", [2, 8]), (name + ".lora_B.weight", [8, 3])], .adapterKeys),
      ([(name + ".lora_A.weight", [16]), (name + ".lora_B.weight", [8, 2])], .adapterKeys),
      ([("model.x.lora_A.weight", [2, 8]), ("model.x.lora_B.weight", [8, 2])], .adapterKeys),
      ([(name + ".lora_magnitude_vector", [8])], .adapterKeys),
      ([(name + ".lora_A.default.weight", [2, 8])], .adapterKeys),
      ([("base_model.model.lm_head.weight", [8, 8])], .adapterKeys),
    ] as [([(String, [Int])], DiagnosticCode)])
  func refusesTensors(_ tensors: [(String, [Int])], _ code: DiagnosticCode) throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(
      #"{"peft_type":"LORA","r":2,"lora_alpha":8}"#, PEFTAdapterConfig.fileName)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors.map { ($0.0, Tensor(zeros: Shape($0.1))) }) { bytes += $0 }
    _ = try folder.write(bytes, PEFTAdapter.weightsName)
    #expect(diagnostic { _ = try PEFTAdapter.read(folder.path("")) }?.code == code)
  }

  @Test func namesMissingFiles() throws {
    let folder = try TemporaryFolder()
    let configless = diagnostic { _ = try PEFTAdapter.read(folder.path("")) }
    #expect(configless?.code == .adapterMissing)
    _ = try folder.write(
      #"{"peft_type":"LORA","r":2,"lora_alpha":8}"#, PEFTAdapterConfig.fileName)
    let weightless = diagnostic { _ = try PEFTAdapter.read(folder.path("")) }
    #expect(weightless?.code == .adapterMissing)
    #expect(weightless?.message.contains(PEFTAdapter.weightsName) == true)
  }

  @Test func listsAllTensorsThatCannotBeApplied() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(
      #"{"peft_type":"LORA","r":2,"lora_alpha":8}"#, PEFTAdapterConfig.fileName)
    var bytes: [UInt8] = []
    let tensors = (0..<12).map { index in
      (name: "base_model.model.layer.\(index).lora_A.weight", tensor: Tensor(zeros: [2, 8]))
    }
    try SafetensorsWriter.write(tensors) { bytes += $0 }
    _ = try folder.write(bytes, PEFTAdapter.weightsName)
    let found = diagnostic { _ = try PEFTAdapter.read(folder.path("")) }
    #expect(found?.code == .adapterKeys)
    // In byte order: 0, 1, 10, 11, 2, …
    #expect(
      found?.location
        == .tensor(
          file: folder.path(PEFTAdapter.weightsName), name: tensors[0].name))
    #expect(found?.message.contains("layer.10.lora_A.weight\" (its lora_B is missing)") == true)
    #expect(found?.message.hasSuffix("and 3 more") == true)
  }
}
