// Configurations from config.json and from GGUF metadata, and what they refuse.
import QLoRADiagnostics
import QLoRAJSON
import TestSupport
import Testing

import QLoRAFormats

struct ModelConfigTests {
  static let plain = """
    "model_type":"llama","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,\
    "num_attention_heads":4,"vocab_size":100,"rms_norm_eps":1e-5,"max_position_embeddings":512
    """

  private func config(_ more: String) throws -> ModelConfig {
    try ModelConfig(json: JSONValue(parsing: "{\(Self.plain)\(more)}"), path: "config.json")
  }

  @Test func readsGolden() throws {
    let config = try ModelConfig(configPath: Goldens.path("tiny-llama/config.json"))
    let expected = ModelConfig(
      vocabularySize: 320, hidden: 64, intermediate: 192, layers: 2, heads: 4, kvHeads: 2,
      headDim: 16, normEpsilon: 1e-5, rope: RopeParameters(theta: 10_000), maxPositions: 256,
      tiesEmbeddings: false, bosTokens: [1], eosTokens: [2], dtype: .float32)
    #expect(config == expected)
  }

  @Test func fillsInWhatOldFoldersLeaveOut() throws {
    let config = try config("")
    #expect(config.kvHeads == 4)
    #expect(config.headDim == 16)
    #expect(config.rope == RopeParameters(theta: 10_000))
    #expect(!config.tiesEmbeddings)
    #expect(config.eosTokens == [])
  }

  @Test func readsBothPlacesOfRope() throws {
    let llama3 = """
      "factor":32.0,"low_freq_factor":1.0,"high_freq_factor":4.0,\
      "original_max_position_embeddings":8192,"rope_type":"llama3"
      """
    let scaling = RopeScaling.llama3(
      factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192)
    let old = try config(",\"rope_theta\":500000.0,\"rope_scaling\":{\(llama3)}")
    #expect(old.rope == RopeParameters(theta: 500_000, scaling: scaling))
    let new = try config(",\"rope_parameters\":{\(llama3),\"rope_theta\":500000.0}")
    #expect(new.rope == old.rope)
    let linear = try config(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}")
    #expect(linear.rope.scaling == .linear(factor: 2))
    #expect(try config(",\"rope_scaling\":null").rope.scaling == .none)
  }

  @Test func readsLists() throws {
    #expect(try config(",\"eos_token_id\":[1,2]").eosTokens == [1, 2])
    #expect(try config(",\"torch_dtype\":\"bfloat16\"").dtype == .bfloat16)
    let biased = try config(",\"attention_bias\":true,\"mlp_bias\":true")
    #expect(biased.attentionBias && biased.mlpBias)
  }

  @Test func computesRopeFrequencies() {
    let plain = RopeParameters(theta: 10_000).inverseFrequencies(headDim: 8)
    #expect(plain == [1, 0.1, 0.01, 0.001])
    let linear = RopeParameters(theta: 10_000, scaling: .linear(factor: 4))
    #expect(linear.inverseFrequencies(headDim: 4) == [0.25, 0.0025])
    let divided = RopeParameters(theta: 10_000, scaling: .divisors([1, 8]))
    #expect(divided.inverseFrequencies(headDim: 4) == [1, 0.00125])
    // Wavelengths 6.3, 62.8, 628, 6283 against bounds of 1024/4 and 1024/1.
    let llama3 = RopeParameters(
      theta: 10_000,
      scaling: .llama3(
        factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 1024)
    ).inverseFrequencies(headDim: 8)
    #expect(llama3[0] == 1 && llama3[1] == 0.1 && llama3[3] == 0.001 / 8)
    let smooth = (1024 / (2 * Float.pi / 0.01) - 1) / 3
    #expect(abs(llama3[2] - ((1 - smooth) * 0.01 / 8 + smooth * 0.01)) < 1e-8)
  }

  @Test(arguments: [
    (#","model_type":"qwen2""#, DiagnosticCode.configInvalid),
    (#","hidden_act":"gelu""#, .architectureUnsupported),
    (#","rope_scaling":{"type":"proportional","factor":2}"#, .ropeUnsupported),
    (#","rope_scaling":{"type":"yarn"}"#, .configInvalid),
    (
      #","rope_scaling":{"type":"longrope","short_factor":[1],"long_factor":[1]}"#, .configInvalid
    ),
    (#","rope_scaling":{"type":"linear"}"#, .configInvalid),
    (#","rope_scaling":{"type":"linear","factor":0}"#, .configInvalid),
    (#","rope_scaling":[]"#, .configInvalid),
    (#","num_key_value_heads":3"#, .configInvalid),
    (#","num_key_value_heads":0"#, .configInvalid),
    (#","head_dim":15"#, .configInvalid),
    (#","head_dim":"16""#, .configInvalid),
    (#","tie_word_embeddings":1"#, .configInvalid),
    (#","eos_token_id":"</s>""#, .configInvalid),
    (#","rope_theta":-1"#, .configInvalid),
    (#","quantization_config":{"quant_method":"gptq","bits":4}"#, .quantizationUnsupported),
    (#","quantization_config":{"quant_method":"awq"}"#, .quantizationUnsupported),
    (
      #","quantization_config":{"load_in_8bit":true,"llm_int8_has_fp16_weight":true}"#,
      .quantizationUnsupported
    ),
  ])
  func refuses(_ more: String, _ code: DiagnosticCode) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("{\(Self.plain)\(more)}", "config.json")
    #expect(diagnostic { _ = try ModelConfig(configPath: path) }?.code == code)
  }

  @Test(arguments: [4, 8])
  func acceptsBitsandbytes(bits: Int) throws {
    for method in ["", #""quant_method":"bitsandbytes","#] {
      let entry = #","quantization_config":{\#(method)"load_in_\#(bits)bit":true}"#
      #expect(try config(entry).hidden == 64)
    }
  }

  @Test func namesOtherArchitecturesAndPlaces() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("{\n  \"model_type\": \"qwen2x\"\n}", "config.json")
    let found = diagnostic { _ = try ModelConfig(configPath: path) }
    #expect(found?.code == .architectureUnsupported)
    #expect(found?.message.contains("qwen2x") == true)
    #expect(found?.message.contains("the nearest that is: \"qwen2\"") == true)
    #expect(found?.remedy?.contains("add-an-architecture.md") == true)
    #expect(found?.location == .position(file: path, line: 2, column: 3))
    let missing = diagnostic { _ = try ModelConfig(configPath: folder.path("none.json")) }
    #expect(missing?.code == .configMissing)
    #expect(missing?.code.exitCode == .inputMissing)
  }
}
