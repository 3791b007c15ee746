// What families have beside others' keys: biases by their own words, windows that go with rotary
// positions, and scaled logits. Defaults are those of transformers.
import QLoRADiagnostics

extension ConfigReader {
  private static let inward: Set<WeightRole> = [.query, .key, .value]

  func readSeedOSS(_ form: inout DecoderForm) throws(Diagnostic) {
    let mlp = form.biases.intersection([.gate, .up, .down])
    form.biases = mlp.union(try bool("attention_bias", default: true) ? Self.inward : [])
    if try bool("attention_out_bias", default: false) { form.biases.insert(.attentionOutput) }
  }

  func readStarcoder2(_ form: inout DecoderForm, _ layers: Int) throws(Diagnostic) {
    let all = Self.inward.union([.attentionOutput, .up, .down])
    form.biases = try bool("use_bias", default: true) ? all : []
    try readWindow(&form, layers, default: 0)
  }

  func readErnie45(_ form: inout DecoderForm) throws(Diagnostic) {
    let all = Self.inward.union([.attentionOutput, .gate, .up, .down])
    form.biases = try bool("use_bias", default: false) ? all : []
  }

  func readGLM4(_ form: inout DecoderForm, _ headDim: Int) throws(Diagnostic) {
    form.biases = try bool("attention_bias", default: true) ? Self.inward : []
    try readRotaryDim(&form, headDim, default: 0.5)
  }

  /// Where some layers have windows, the others have no positions.
  func readExaone4(_ form: inout DecoderForm, _ layers: Int) throws(Diagnostic) {
    let window = try int("sliding_window", default: json["sliding_window"] == nil ? 4096 : 0)
    let key = "sliding_window_pattern"
    // Words such as "LLLG" come with a list of all layers.
    let period = value("layer_types") == nil ? try int(key, default: 4) : 4
    guard period > 0 else { throw wrong(key, "positive", value(key)) }
    try readWindows(&form, layers, window: window) { ($0 + 1) % period != 0 }
    rotateWindowedLayers(&form, layers)
  }

  func readCohere(
    _ form: inout DecoderForm, _ family: ModelFamily, _ layers: Int
  ) throws(Diagnostic) {
    form.logitDivisor = 1 / (try float("logit_scale", default: 0.0625))
    guard try !bool("use_qk_norm", default: false) else {
      throw failure(
        .architectureUnsupported, "norms of single heads in one tensor are not supported",
        key: "use_qk_norm")
    }
    guard family == .cohere2 else { return }
    let window = try int("sliding_window", default: json["sliding_window"] == nil ? 4096 : 0)
    try readWindows(&form, layers, window: window) { ($0 + 1) % 4 != 0 }
    rotateWindowedLayers(&form, layers)
    // Without a window no layer has positions.
    if window == 0 { form.unrotatedLayers = Set(DecoderForm.layers(layers)) }
  }

  private func rotateWindowedLayers(_ form: inout DecoderForm, _ layers: Int) {
    guard form.window > 0 else { return }
    form.unrotatedLayers = Set(DecoderForm.layers(layers)).subtracting(form.windowedLayers)
  }
}
