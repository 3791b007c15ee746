// What families differ in, by the keys of config.json and their defaults in transformers.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

/// Keys that some families spell in their own way.
struct ConfigKeys {
  var hidden = "hidden_size"
  var layers = "num_hidden_layers"
  var heads = "num_attention_heads"
  var intermediate = "intermediate_size"
  var maxPositions = "max_position_embeddings"
  var normEpsilon = "rms_norm_eps"
  var usualNormEpsilon = 1e-6
  var activation = "hidden_act"
  // What a configuration may leave out.
  var usualHeads: Int?
  var usualKeyHeads: Int?
  var usualVocabulary: Int?
  var usualPositions = 2048
  var headDim = "head_dim"

  init(_ family: ModelFamily) {
    switch family {
    case .gpt2:
      (hidden, layers, heads) = ("n_embd", "n_layer", "n_head")
      (intermediate, maxPositions) = ("n_inner", "n_positions")
      (normEpsilon, usualNormEpsilon) = ("layer_norm_epsilon", 1e-5)
      activation = "activation_function"
    case .distilbert:
      (hidden, layers, heads, intermediate) = ("dim", "n_layers", "n_heads", "hidden_dim")
      // No key says it: it is the same in all.
      (usualNormEpsilon, activation) = (1e-12, "activation")
    case .bert, .roberta: (normEpsilon, usualNormEpsilon) = ("layer_norm_eps", 1e-12)
    case .gptNeoX, .stablelm: (normEpsilon, usualNormEpsilon) = ("layer_norm_eps", 1e-5)
    case .olmo2, .olmo3, .olmoe, .exaone4, .ernie45: usualNormEpsilon = 1e-5
    case .starcoder2: (normEpsilon, usualNormEpsilon) = ("norm_epsilon", 1e-5)
    case .cohere, .cohere2: (normEpsilon, usualNormEpsilon) = ("layer_norm_eps", 1e-5)
    case .glm4: usualNormEpsilon = 1.5625e-7
    case .qwen3Moe: intermediate = "moe_intermediate_size"
    case .gemma, .gemma2: activation = "hidden_activation"
    case .gemma3:
      activation = "hidden_activation"
      (usualHeads, usualKeyHeads, usualVocabulary) = (8, 4, 262_208)
      usualPositions = 131_072
    case .t5:
      (hidden, layers, heads, headDim) = ("d_model", "num_layers", "num_heads", "d_kv")
      (intermediate, maxPositions) = ("d_ff", "n_positions")
      (normEpsilon, activation) = ("layer_norm_epsilon", "feed_forward_proj")
    default: break
    }
  }
}

extension ModelFamily {
  var usualHeadDim: Int? {
    switch self {
    case .gemma, .gemma2, .gemma3: 256
    case .qwen3, .seedOSS, .glm4, .ernie45: 128
    default: nil
    }
  }
  var usualTheta: Double {
    switch self {
    case .gemma3: 1_000_000
    case .olmo3, .ernie45, .cohere: 500_000
    default: 10_000
    }
  }
  var tiesByDefault: Bool {
    let tied: Set<ModelFamily> = [.gpt2, .smollm3, .t5, .starcoder2, .ernie45, .cohere, .cohere2]
    return isGemma || isEncoder || tied.contains(self)
  }

  fileprivate var usualActivation: String {
    switch self {
    case .gpt2: "gelu_new"
    case .t5: "relu"
    case .gptNeoX, .bert, .roberta, .distilbert: "gelu"
    default: isGemma || self == .starcoder2 ? "gelu_pytorch_tanh" : "silu"
    }
  }
}

extension ConfigReader {
  /// Models that see images too, and keep the decoder's configuration in one of its own.
  private static let holders = ["gemma3", "mistral3"]

  /// The decoder's configuration, and the module that holds the decoder where it is a part.
  func decoder() throws(Diagnostic) -> (reader: ConfigReader, holder: String?) {
    let key = "text_config"
    guard let name = value("model_type")?.stringValue, Self.holders.contains(name) else {
      return (self, nil)
    }
    guard let text = value(key), text.objectMembers != nil else {
      throw wrong(key, "an object", value(key))
    }
    return (ConfigReader(json: text, path: path), "language_model")
  }

  /// - Throws: `architectureUnsupported` naming the nearest family.
  func family() throws(Diagnostic) -> ModelFamily {
    guard let name = value("model_type")?.stringValue else {
      throw failure(
        .architectureUnsupported, "model_type is missing; it names the family, such as \"llama\"",
        key: "model_type")
    }
    if let family = ModelFamily(rawValue: name) { return family }
    let keys = Set((json.objectMembers ?? []).map(\.key))
    let nearest = ModelFamily.nearest(to: name, keys: keys)
    throw failure(
      .architectureUnsupported,
      "model_type \"\(name)\" is not supported; the nearest that is: \"\(nearest.rawValue)\"",
      key: "model_type", remedy: ModelFamily.remedy)
  }

  func form(
    of family: ModelFamily, layers: Int, headDim: Int
  ) throws(Diagnostic) -> DecoderForm {
    var form = DecoderForm(family)
    form.activation = try activation(family)
    if try bool("attention_bias", default: family == .gptNeoX) {
      form.biases = [.query, .key, .value, .queryKeyValue, .attentionOutput]
    }
    if try bool("mlp_bias", default: false) { form.biases.formUnion([.gate, .up, .down]) }
    switch family {
    case .llama: break
    case .mistral: try readWindow(&form, layers, default: 4096)
    case .phi3:
      try readWindow(&form, layers, default: 0)
      try readRotaryDim(&form, headDim, default: 1)
    case .qwen2, .qwen3: try readQwen(&form, family, layers)
    case .gemma, .gemma2, .gemma3: try readGemma(&form, family, layers)
    case .smollm3: try readSmolLM3(&form, layers)
    case .granite: try readGranite(&form)
    case .olmo2: break
    case .olmo3: try readOlmo3(&form, layers)
    case .stablelm, .gptNeoX: try readParallel(&form, family, headDim)
    case .gpt2:
      form.biases = [.queryKeyValue, .attentionOutput, .up, .down]
    case .seedOSS: try readSeedOSS(&form)
    case .starcoder2: try readStarcoder2(&form, layers)
    case .exaone4: try readExaone4(&form, layers)
    case .glm4: try readGLM4(&form, headDim)
    case .ernie45: try readErnie45(&form)
    case .cohere, .cohere2: try readCohere(&form, family, layers)
    case .mixtral, .qwen3Moe, .olmoe: try readExperts(&form, family, layers)
    case .bert, .roberta, .distilbert: try readEncoder(&form, family)
    case .t5: try readT5(&form)
    }
    return form
  }

  private func activation(_ family: ModelFamily) throws(Diagnostic) -> Activation {
    let key = ConfigKeys(family).activation
    let name = try string(key) ?? family.usualActivation
    if family == .t5 {
      // "gated-gelu" always meant its approximation.
      if name == "relu" { return .relu }
      if name == "gated-gelu" { return .geluTanh }
      throw failure(
        .architectureUnsupported, "\(key) \"\(name)\"; computed are relu and gated-gelu", key: key)
    }
    switch name {
    case "silu", "swish": return .silu
    case "gelu" where family != .llama: return .gelu
    case "gelu_pytorch_tanh", "gelu_new", "gelu_fast":
      if family != .llama { return .geluTanh }
    default: break
    }
    throw failure(
      .architectureUnsupported,
      "\(key) \"\(name)\"; a model of type \"\(family.rawValue)\" has "
        + "\"\(family.usualActivation)\"", key: key)
  }

  // MARK: Windows

  /// The same window in all layers. Null means none; what is left out means the default.
  func readWindow(
    _ form: inout DecoderForm, _ layers: Int, default fallback: Int
  ) throws(Diagnostic) {
    let isThere = json["sliding_window"] != nil
    form.window = try int("sliding_window", default: isThere ? 0 : fallback)
    if form.window > 0 { form.windowedLayers = Set(DecoderForm.layers(layers)) }
  }

  /// The layers that `layer_types` calls sliding, or else those that `usual` picks.
  func readWindows(
    _ form: inout DecoderForm, _ layers: Int, window: Int, usual: (Int) -> Bool
  ) throws(Diagnostic) {
    form.window = window
    let kinds = try list("layer_types", count: layers)?.map(\.stringValue)
    form.windowedLayers = Set(
      DecoderForm.layers(layers).filter { layer in
        kinds.map { $0[layer] == "sliding_attention" } ?? usual(layer)
      })
    if window == 0 { form.windowedLayers = [] }
  }

  func readRotaryDim(
    _ form: inout DecoderForm, _ headDim: Int, default fallback: Double
  ) throws(Diagnostic) {
    let fraction = try rotaryFraction(default: fallback)
    guard (0...1).contains(fraction), (1...1 << 16).contains(headDim) else {
      throw wrong("partial_rotary_factor", "between 0 and 1", nil)
    }
    if fraction < 1 { form.rotaryDim = Int(Double(headDim) * fraction) }
  }

  // MARK: Families

  private func readQwen(
    _ form: inout DecoderForm, _ family: ModelFamily, _ layers: Int
  ) throws(Diagnostic) {
    if family == .qwen2 { form.biases = [.query, .key, .value] }
    let isWindowed = try bool("use_sliding_window", default: false)
    let first = try int("max_window_layers", default: 28)
    try readWindows(
      &form, layers, window: isWindowed ? try int("sliding_window", default: 4096) : 0
    ) { $0 >= first }
  }

  private func readGemma(
    _ form: inout DecoderForm, _ family: ModelFamily, _ layers: Int
  ) throws(Diagnostic) {
    form.embeddingScale = Float(try int("hidden_size")).squareRoot()
    guard family != .gemma else { return }
    form.attentionScale = 1 / (try float("query_pre_attn_scalar", default: 256)).squareRoot()
    let isSecond = family == .gemma2
    form.scoreCap = try float("attn_logit_softcapping", default: 0)
    form.logitCap = try float("final_logit_softcapping", default: 0)
    let period = try int("sliding_window_pattern", default: isSecond ? 2 : 6)
    guard period > 0 else { throw wrong("sliding_window_pattern", "positive", nil) }
    try readWindows(&form, layers, window: try int("sliding_window", default: 4096)) {
      ($0 + 1) % period != 0
    }
    if !isSecond {
      form.windowedRope = try windowedRope(
        otherwise: try double("rope_local_base_freq", default: 10_000))
    }
  }

  /// Source: the defaults of transformers' Olmo3Config.
  private func readOlmo3(_ form: inout DecoderForm, _ layers: Int) throws(Diagnostic) {
    try readWindows(&form, layers, window: try int("sliding_window", default: 4096)) {
      ($0 + 1) % 4 != 0
    }
    form.windowedRope = try windowedRope(
      otherwise: try double("rope_theta", default: ModelFamily.olmo3.usualTheta))
  }

  private func readSmolLM3(_ form: inout DecoderForm, _ layers: Int) throws(Diagnostic) {
    let interval = try int("no_rope_layer_interval", default: 4)
    guard interval > 0 else { throw wrong("no_rope_layer_interval", "positive", nil) }
    // Ones mark the layers that do have positions.
    let rotated = try list("no_rope_layers", count: layers)?.map(\.intValue)
    form.unrotatedLayers = Set(
      DecoderForm.layers(layers).filter { layer in
        rotated.map { $0[layer] == 0 } ?? ((layer + 1) % interval == 0)
      })
    let isWindowed = try bool("use_sliding_window", default: false)
    let unrotated = form.unrotatedLayers
    try readWindows(
      &form, layers, window: isWindowed ? try int("sliding_window", default: 0) : 0
    ) { unrotated.contains($0) }
  }

  private func readGranite(_ form: inout DecoderForm) throws(Diagnostic) {
    form.embeddingScale = try float("embedding_multiplier", default: 1)
    form.residualScale = try float("residual_multiplier", default: 1)
    form.logitDivisor = try float("logits_scaling", default: 1)
    form.attentionScale = try float("attention_multiplier", default: 1)
  }

  private func readParallel(
    _ form: inout DecoderForm, _ family: ModelFamily, _ headDim: Int
  ) throws(Diagnostic) {
    form.isParallel = try bool("use_parallel_residual", default: family == .gptNeoX)
    try readRotaryDim(&form, headDim, default: 0.25)
    if family == .gptNeoX {
      form.biases.formUnion([.up, .down])
      return
    }
    form.sharesNorm = form.isParallel
    if try bool("use_qkv_bias", default: false) { form.biases = [.query, .key, .value] }
    if try bool("qk_layernorm", default: false) { form.queryKeyNorm = .everyHead }
  }

  private func readEncoder(
    _ form: inout DecoderForm, _ family: ModelFamily
  ) throws(Diagnostic) {
    form.biases = [.query, .key, .value, .attentionOutput, .up, .down]
    let usual = family == .distilbert ? 1 : 2
    form.tokenTypes = try int("type_vocab_size", default: usual)
    guard (1...1 << 16).contains(form.tokenTypes) else {
      throw wrong("type_vocab_size", "positive", value("type_vocab_size"))
    }
    if family == .roberta {
      // Positions begin behind that of padding. Source: Liu et al. 2019, arXiv:1907.11692, as
      // fairseq and transformers number them.
      let padding = try int("pad_token_id", default: 1)
      guard (0...1 << 24).contains(padding) else {
        throw wrong("pad_token_id", "the number of a token", value("pad_token_id"))
      }
      form.positionOffset = padding + 1
    }
    let positions = try string("position_embedding_type") ?? "absolute"
    guard positions == "absolute", try !bool("is_decoder", default: false) else {
      throw failure(
        .architectureUnsupported,
        "an encoder of this family has absolute positions and sees whole texts; found "
          + "position_embedding_type \"\(positions)\"", key: "position_embedding_type")
    }
  }
}
