// Configurations of every family: written and read again as config.json and as GGUF, and what they
// refuse.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct FamilyConfigTests {
  static let names = [
    "cohere", "cohere2", "ernie4-5", "exaone4", "glm4", "olmoe", "seed-oss", "starcoder2",
    "gemma", "gemma2", "gemma3", "gpt-neox", "gpt-neox-sequential", "gpt2", "granite",
    "llama-dynamic", "llama-linear", "llama-llama3", "llama-yarn", "mistral", "mixtral", "olmo2",
    "olmo3", "phi3", "phi4", "qwen2", "qwen3", "qwen3-moe", "qwen3-moe-dense", "smollm3",
    "stablelm",
    "stablelm-heads", "stablelm-parallel",
  ]

  private func golden(_ name: String) throws -> ModelConfig {
    try ModelConfig(configPath: Goldens.path("families/\(name)/config.json"))
  }

  /// llama.cpp takes for granted what most models of a family have.
  @Test(arguments: [
    ("gemma3", "every sixth layer"), ("gemma2", "by the size of heads alone"),
    ("mixtral", nil), ("qwen3-moe", "add up to one"), ("qwen3-moe-dense", "every layer"),
    ("llama-dynamic", "dynamic"), ("smollm3", nil), ("llama-yarn", nil),
    ("exaone4", "every fourth layer"), ("olmoe", "keys of its own"), ("cohere2", nil),
  ])
  func whatGGUFCannotSayIsNamed(name: String, words: String?) throws {
    let obstacle = try golden(name).ggufObstacle
    #expect((obstacle == nil) == (words == nil))
    if let words { #expect(obstacle?.contains(words) == true, "\(obstacle ?? "")") }
  }

  @Test func layersWithoutPositionsAndWindowsAreCounted() throws {
    var smollm = try golden("smollm3")
    smollm.form.unrotatedLayers = [0]
    #expect(smollm.ggufObstacle?.contains("every fourth layer") == true)
    var gemma = try golden("gemma2")
    gemma.form.attentionScale = 1 / Float(gemma.headDim).squareRoot()
    #expect(gemma.ggufObstacle == nil)
    gemma.form.windowedLayers = [1]
    #expect(gemma.ggufObstacle?.contains("every second layer") == true)
    var olmo = try golden("olmo3")
    #expect(olmo.ggufObstacle == nil)
    olmo.form.windowedRope?.theta = 1
    #expect(olmo.ggufObstacle?.contains("one rotary base") == true)
    var exaone = try golden("exaone4")
    exaone.form.windowedLayers = [0, 1, 2]
    #expect(exaone.ggufObstacle?.contains("64 layers") == true)
    olmo.form.windowedLayers = [3]
    #expect(olmo.ggufObstacle?.contains("every fourth layer") == true)
  }

  /// As published: what the classes of transformers have by default is left out.
  @Test func aDecoderAmongOtherPartsIsFound() throws {
    let gemma = try ModelConfig(
      json: JSONValue(parsing: """
        {"model_type": "gemma3", "eos_token_id": [1, 106], "torch_dtype": "bfloat16",
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
        "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}}
        """), path: "config.json")
    #expect(gemma.family == .gemma3 && gemma.vocabularySize == 262_208 && gemma.tiesEmbeddings)
    #expect(gemma.heads == 8 && gemma.kvHeads == 4 && gemma.headDim == 256)
    #expect(gemma.eosTokens == [1, 106] && gemma.dtype == .bfloat16)
    #expect(gemma.maxPositions == 131_072)
    #expect(gemma.names.layers == "model.language_model.layers.")
    #expect(gemma.isLinear("model.language_model.layers.33.mlp.up_proj"))
    #expect(!gemma.isLinear("model.vision_tower.encoder.layers.0.mlp.fc1"))

    let mistral = try ModelConfig(
      json: JSONValue(parsing: """
        {"model_type": "mistral3", "vision_config": {"model_type": "pixtral"},
        "text_config": {"head_dim": 128, "hidden_size": 5120, "intermediate_size": 32768,
        "max_position_embeddings": 131072, "model_type": "mistral", "num_attention_heads": 32,
        "num_hidden_layers": 40, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
        "rope_theta": 1000000000.0, "sliding_window": null, "vocab_size": 131072}}
        """), path: "config.json")
    #expect(mistral.family == .mistral && !mistral.tiesEmbeddings && mistral.form.window == 0)
    #expect(mistral.weightShapes.last?.name == "lm_head.weight")
    let failure = #expect(throws: Diagnostic.self) {
      try ModelConfig(json: JSONValue(parsing: #"{"model_type": "gemma3"}"#), path: "config.json")
    }
    #expect(failure?.message.contains("text_config") == true)
  }

  @Test(arguments: names)
  func jsonIsReadAgain(_ name: String) throws {
    let config = try golden(name)
    let json = config.huggingFaceJSON(dtype: .bfloat16)
    let again = try ModelConfig(
      json: JSONValue(parsing: JSONWriter.text(json)), path: "config.json")
    #expect(again == config)
  }

  /// Zeros for weights: only their names and shapes count.
  @Test(arguments: names.filter {
    !["qwen3-moe", "qwen3-moe-dense", "llama-dynamic", "exaone4"].contains($0)
  })
  func metadataAreReadAgain(_ name: String) throws {
    let config = try golden(name)
    let divisors = config.rope.ggufDivisors(rotaryDim: config.rotaryDim)
    var weights: [(String, [Int], [Float])] = []
    for (name, shape) in config.weightShapes {
      let stored = try #require(GGUFNames.gguf(name, config))
      let stack = GGUFNames.stackCount(name, config).map { [$0] } ?? []
      if weights.last?.0 == stored { continue }
      let extents = stack + shape.extents
      weights.append((stored, extents, [Float](zeros: extents.reduce(1, *))))
    }
    let all = divisors.map { ($0.name, [$0.values.count], $0.values) } + weights
    var bytes: [UInt8] = []
    var writer = try GGUFWriter(
      metadata: [("general.architecture", .string(config.family.ggufArchitecture))]
        + config.ggufMetadata(), all.map { .init($0.0, .f32, $0.1) }) { bytes += $0 }
    for (name, _, values) in all {
      var encoder = GGUFEncoder(.f32)
      try values.withUnsafeBufferPointer {
        try encoder.encode($0) { try writer.write($0, of: name) }
      }
    }
    try writer.finish()
    let folder = try TemporaryFolder()
    let source = try ModelSource.open(folder.write(bytes, "model.gguf"))
    #expect(Set(source.weights.names) == Set(config.weightShapes.map(\.name)))
    var expected = config
    (expected.bosTokens, expected.eosTokens, expected.dtype) = ([], [], nil)
    var found = source.config
    // Biases that a family has no roles for are of no account.
    expected.form.biases.formIntersection(found.form.biases)
    // Windows of families that llama.cpp gives none are in the context's length.
    if ["mistral", "qwen2", "phi4", "starcoder2"].contains(name) {
      #expect(found.maxPositions == config.form.window)
      expected.maxPositions = found.maxPositions
    }
    if ["mistral", "qwen2", "starcoder2"].contains(name) {
      (expected.form.window, expected.form.windowedLayers) = (0, [])
    }
    if name == "mistral" { expected.family = .llama }
    // Divisors instead of their rule, and a magnitude in float32.
    #expect(found.rope.magnitude == config.rope.magnitude)
    let (dim, length) = (config.rotaryDim, 1 << 20)
    let pairs = zip(
      found.rope.inverseFrequencies(headDim: dim, length: length),
      config.rope.inverseFrequencies(headDim: dim, length: length))
    #expect(pairs.allSatisfy { abs($0 - $1) <= 1e-6 * $1 })
    found.rope = config.rope
    // The file says one of 1 / √headDim, which nil stands for.
    if config.family.isGemma { expected.form.attentionScale = found.form.attentionScale }
    // Gemma 3's pattern of six, of which the golden has another.
    if name == "gemma3" { expected.form.windowedLayers = found.form.windowedLayers }
    #expect(found == expected)
  }

  @Test(arguments: [
    ("qwen2x", ModelFamily.qwen2), ("mistral4", .mistral), ("llama4", .llama), ("phi", .phi3),
    ("olmo", .olmo2), ("granitemoe", .granite), ("gemma4_text", .gemma3), ("gpt_neo", .gptNeoX),
    ("stablelm2", .stablelm), ("qwen4_moe", .qwen3Moe), ("glm", .glm4), ("cohere3", .cohere),
    ("exaone", .exaone4), ("starcoder", .starcoder2),
  ])
  func nearestFamily(_ name: String, _ expected: ModelFamily) {
    #expect(ModelFamily.nearest(to: name, keys: []) == expected)
  }

  /// Where no name is alike, the keys decide.
  @Test func nearestByKeys() {
    #expect(ModelFamily.nearest(to: "zzz", keys: ["n_embd"]) == .gpt2)
    #expect(ModelFamily.nearest(to: "zzz", keys: ["residual_multiplier"]) == .granite)
    #expect(ModelFamily.nearest(to: "zzz", keys: ["num_local_experts"]) == .mixtral)
  }

  private static let sizes = """
    "hidden_size":64,"intermediate_size":128,"num_attention_heads":4,"vocab_size":100
    """

  @Test(arguments: [
    (#""model_type":"mistral","num_hidden_layers":1000000000000"#, DiagnosticCode.configInvalid),
    (#""model_type":"mistral","num_hidden_layers":-1"#, .configInvalid),
    (
      #""model_type":"qwen2","num_hidden_layers":2,"layer_types":["sliding_attention"]"#,
      .configInvalid
    ),
    (#""model_type":"smollm3","num_hidden_layers":2,"no_rope_layers":[1]"#, .configInvalid),
    (#""model_type":"smollm3","num_hidden_layers":2,"no_rope_layer_interval":0"#, .configInvalid),
    (
      #""model_type":"mixtral","num_hidden_layers":2,"num_local_experts":2,"#
        + #""num_experts_per_tok":3"#,
      .configInvalid
    ),
    (#""model_type":"mixtral","num_hidden_layers":2"#, .configInvalid),
    (#""model_type":"gemma2","num_hidden_layers":2,"attn_logit_softcapping":-1"#, .configInvalid),
    (#""model_type":"gemma2","num_hidden_layers":2,"sliding_window_pattern":0"#, .configInvalid),
    (#""model_type":"granite","num_hidden_layers":2,"logits_scaling":0"#, .configInvalid),
    (#""model_type":"phi3","num_hidden_layers":2,"partial_rotary_factor":2"#, .configInvalid),
    (#""model_type":"phi3","num_hidden_layers":2,"partial_rotary_factor":0.2"#, .configInvalid),
    (#""model_type":"stablelm","num_hidden_layers":2,"qk_layernorm":1"#, .configInvalid),
    (#""model_type":"cohere","num_hidden_layers":2,"use_qk_norm":true"#, .architectureUnsupported),
    (#""model_type":"cohere","num_hidden_layers":2,"logit_scale":0"#, .configInvalid),
    (#""model_type":"olmoe","num_hidden_layers":2,"num_experts":8,"clip_qkv":5"#,
      .architectureUnsupported),
    (#""model_type":"exaone4","num_hidden_layers":2,"sliding_window_pattern":0"#, .configInvalid),
    (#""model_type":"qwen3","num_hidden_layers":2,"hidden_act":"relu"#, .configInvalid),
    (#""model_type":"qwen3","num_hidden_layers":2,"hidden_act":"relu""#, .architectureUnsupported),
    (
      #""model_type":"qwen3_moe","num_hidden_layers":2,"num_experts":4,"moe_intermediate_size":8,"#
        + #""intermediate_size":0,"mlp_only_layers":[0]"#, .configInvalid
    ),
    (
      #""model_type":"qwen3_moe","num_hidden_layers":2,"num_experts":4,"moe_intermediate_size":8,"#
        + #""mlp_only_layers":["first"]"#, .configInvalid
    ),
    (
      #""model_type":"qwen3_moe","num_hidden_layers":2,"num_experts":4,"moe_intermediate_size":8,"#
        + #""decoder_sparse_step":0"#, .configInvalid
    ),
  ])
  func refuses(_ text: String, _ code: DiagnosticCode) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("{\(text),\(Self.sizes)}", "config.json")
    #expect(diagnostic { _ = try ModelConfig(configPath: path) }?.code == code)
  }
}

extension Array where Element == Float {
  fileprivate init(zeros count: Int) { self.init(repeating: 0, count: count) }
}
