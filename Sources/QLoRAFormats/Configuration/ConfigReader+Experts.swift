// What config.json says of experts, and of the layers that have none.
import QLoRADiagnostics

extension ConfigReader {
  func readExperts(
    _ form: inout DecoderForm, _ family: ModelFamily, _ layers: Int
  ) throws(Diagnostic) {
    let isMixtral = family == .mixtral
    // transformers 5 writes the second for both.
    let key = value("num_experts") == nil ? "num_local_experts" : "num_experts"
    form.experts = ExpertForm(
      count: try int(key),
      chosen: try int("num_experts_per_tok", default: isMixtral ? 2 : 8),
      isNormalized: try bool("norm_topk_prob", default: isMixtral))
    if isMixtral { return try readWindow(&form, layers, default: 0) }
    if family == .olmoe {
      guard value("clip_qkv") == nil else {
        throw failure(
          .architectureUnsupported, "queries, keys and values that are clipped", key: "clip_qkv")
      }
      return
    }
    if try bool("use_sliding_window", default: false) {
      try readWindow(&form, layers, default: 4096)
    }
    let dense = try denseLayers(layers)
    guard !dense.isEmpty else { return }
    form.experts?.denseLayers = dense
    form.experts?.denseIntermediate = try int("intermediate_size")
  }

  /// Those that are listed, and all but every so many-th.
  private func denseLayers(_ layers: Int) throws(Diagnostic) -> Set<Int> {
    let (stepKey, listKey) = ("decoder_sparse_step", "mlp_only_layers")
    let step = try int(stepKey, default: 1)
    guard step > 0 else { throw wrong(stepKey, "positive", value(stepKey)) }
    let listed = value(listKey)?.arrayValue ?? []
    let numbers = listed.compactMap(\.intValue)
    guard numbers.count == listed.count else {
      throw wrong(listKey, "a list of numbers of layers", value(listKey))
    }
    return Set(
      DecoderForm.layers(layers).filter { numbers.contains($0) || ($0 + 1) % step != 0 })
  }
}
