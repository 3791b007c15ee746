// Which tensors of a folder are linears, by the names that real models have.
import QLoRAModels
import QLoRATensor
import Testing

@Suite struct LinearModulesTests {
  private func quantized(
    _ type: String?, diffusers: Bool = false, skip: [String] = [], _ names: [String]
  ) throws -> [String] {
    let choice = try LinearModules(
      modelType: type, isDiffusers: diffusers, names: names, skip: skip)
    return try names.filter { try choice.isQuantized($0, [4, 4]) }
  }

  @Test func aLlamaHasItsOwnList() throws {
    let linear = "model.layers.0.mlp.up_proj.weight"
    let names = [
      linear, "model.layers.0.input_layernorm.weight", "lm_head.weight", "model.other.weight",
    ]
    #expect(try quantized("llama", names) == [linear])
  }

  @Test func t5KeepsWhatItsLibraryKeeps() throws {
    let linears = ["encoder.block.0.layer.0.SelfAttention.q.weight", "encoder.wi_0.weight"]
    let kept = [
      "shared.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
      "encoder.block.0.layer.1.DenseReluDense.wo.weight", "lm_head.weight",
    ]
    #expect(try quantized("t5", linears + kept) == linears)
  }

  /// Projections into an embedding have a bias, tables of them have not.
  @Test func aBiasMakesALinear() throws {
    let linears = ["x_embedder.weight", "norm_out.linear.weight", "proj_out.weight"]
    let kept = ["class_embedder.weight", "time_embedder.linear_1.weight"]
    let names = linears + kept + ["x_embedder.bias", "norm_out.linear.bias"]
    #expect(try quantized(nil, diffusers: true, names) == linears)
  }

  @Test func headsStayWhateverTheyHave() throws {
    let linears = [
      "bert.pooler.dense.weight", "cls.predictions.transform.dense.weight",
      "lm_head.dense.weight", "visual_projection.weight",
    ]
    let kept = [
      "cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.weight",
      "lm_head.decoder.weight", "score.weight", "wte.weight", "text_projection.weight",
    ]
    #expect(try quantized("bert", linears + kept) == linears)
    // Of CLIP's vision model alone, it is the last parameter.
    #expect(try quantized("clip_vision_model", ["visual_projection.weight"]).isEmpty)
  }

  /// The library loads experts as one tensor of three dimensions, and their router beside it.
  @Test func expertsStay() throws {
    let linears = ["m.0.mlp.shared_expert.up_proj.weight", "m.0.attn.gate.weight"]
    let kept = ["m.0.mlp.experts.1.w1.weight", "m.0.mlp.gate.weight"]
    #expect(try quantized("mixtral", linears + kept) == linears)
    #expect(try quantized(nil, diffusers: true, kept) == kept)
  }

  @Test func transposedAreOnlyLinearsOfSomeModels() {
    func isTransposed(_ name: String, _ type: String?) -> Bool {
      LinearModules.isTransposed(name, modelType: type)
    }
    #expect(isTransposed("h.0.attn.c_attn.weight", "gpt2"))
    #expect(!isTransposed("lm_head.weight", "gpt2"))
    #expect(!isTransposed("h.0.attn.c_attn.bias", "gpt2"))
    #expect(!isTransposed("h.0.attn.c_attn.weight", "gpt_bigcode"))
    #expect(!isTransposed("h.0.attn.c_attn.weight", nil))
  }

  @Test func onlyMatricesCalledWeight() throws {
    let choice = try LinearModules(
      modelType: "any", isDiffusers: false, names: [], skip: [])
    #expect(try choice.isQuantized("a.weight", [2, 3]))
    #expect(try !choice.isQuantized("a.weight", [6]))
    #expect(try !choice.isQuantized("a.weight", [2, 3, 1, 1]))
    #expect(try !choice.isQuantized("a.weight", [0, 3]))
    #expect(try !choice.isQuantized("a.table", [2, 3]))
  }

  @Test(arguments: [
    ("a.0.q", ["a.0.q.weight"]), ("q", ["a.0.q.weight", "a.1.q.weight"]),
    (#"a\.1\..*"#, ["a.1.q.weight", "a.1.k.weight"]),
  ])
  func skipsByNameSuffixAndExpression(_ pattern: String, _ skipped: [String]) throws {
    let names = ["a.0.q.weight", "a.0.k.weight", "a.1.q.weight", "a.1.k.weight"]
    #expect(try quantized("any", skip: [pattern], names) == names.filter { !skipped.contains($0) })
  }

  /// A list in config.json replaces the library's own, so it has to be whole.
  @Test func listsWhatTheLibraryCannotKnow() throws {
    let shape: Shape = [4, 4]
    func list(
      _ type: String?, _ kept: [String], linears: [String] = [], diffusers: Bool = false
    ) throws -> [String]? {
      try LinearModules(
        modelType: type, isDiffusers: diffusers, names: kept + linears, skip: []
      ).skippedModules(kept.map { ($0, shape) })
    }
    // Heads that may be tied, and then are in no file.
    let heads = ["lm_head", "lm_head.decoder", "predictions.decoder", "proj_out", "vocab_projector"]
    let embedding = "model.embed_tokens.weight"
    #expect(try list("llama", [embedding]) == nil)
    let skipped = try list("llama", [embedding, "model.layers.0.mlp.up_proj.weight"])
    let modules = ["model.embed_tokens", "model.layers.0.mlp.up_proj"]
    #expect(skipped == (heads + modules).sorted())
    #expect(try list("other", [embedding]) == (heads + ["model.embed_tokens"]).sorted())
    // An entry would keep what begins or ends like it.
    let linears = ["lm_head.dense.weight", "attn.proj_out.weight"]
    let others = ["lm_head.decoder", "predictions.decoder", "vocab_projector"]
    #expect(try list("other", [], linears: linears) == others)
    #expect(try list(nil, [], diffusers: true) == nil)
    #expect(try list(nil, ["proj_out.weight"], diffusers: true) == ["proj_out"])
  }
}
