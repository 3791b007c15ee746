// Names of llama tensors in GGUF and in Hugging Face folders.

package enum GGUFNames {
  private static let outer = [
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
  ]

  private static let inner = [
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
  ]

  private static let outerByModule = Dictionary(uniqueKeysWithValues: outer.map { ($1, $0) })
  private static let innerByModule = Dictionary(uniqueKeysWithValues: inner.map { ($1, $0) })
  private static let layers = "model.layers."

  /// `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; nil for unknown names.
  static func huggingFace(_ name: String) -> String? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard let kind = parts.last, kind == "weight" || kind == "bias" else { return nil }
    if parts.count == 2, let module = outer[String(parts[0])] { return "\(module).\(kind)" }
    if parts.count == 4, parts[0] == "blk", let layer = Int(parts[1]),
      let module = inner[String(parts[2])]
    {
      return "\(layers)\(layer).\(module).\(kind)"
    }
    return nil
  }

  /// The other way round.
  package static func gguf(_ name: String) -> String? {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let (module, kind) = (String(name[..<dot]), name[dot...])
    guard kind == ".weight" || kind == ".bias" else { return nil }
    if let outer = outerByModule[module] { return outer + kind }
    guard module.hasPrefix(layers) else { return nil }
    let rest = module.dropFirst(layers.count)
    guard let end = rest.firstIndex(of: "."), let layer = Int(rest[..<end]),
      let inner = innerByModule[String(rest[rest.index(after: end)...])]
    else { return nil }
    return "blk.\(layer).\(inner)\(kind)"
  }
}
