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
    return names.filter { choice.isQuantized($0, [4, 4]) }
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
    let names = [
      "cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.weight",
      "score.weight", "bert.pooler.dense.weight", "wte.weight",
    ]
    #expect(try quantized("bert", names) == ["bert.pooler.dense.weight"])
  }

  @Test func onlyMatricesCalledWeight() throws {
    let choice = try LinearModules(
      modelType: "any", isDiffusers: false, names: [], skip: [])
    #expect(choice.isQuantized("a.weight", [2, 3]))
    #expect(!choice.isQuantized("a.weight", [6]))
    #expect(!choice.isQuantized("a.weight", [2, 3, 1, 1]))
    #expect(!choice.isQuantized("a.weight", [0, 3]))
    #expect(!choice.isQuantized("a.table", [2, 3]))
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
    func list(_ type: String?, _ kept: [String], diffusers: Bool = false) throws -> [String]? {
      try LinearModules(modelType: type, isDiffusers: diffusers, names: [], skip: [])
        .skippedModules(kept.map { ($0, shape) })
    }
    let embedding = "model.embed_tokens.weight"
    #expect(try list("llama", [embedding]) == nil)
    let skipped = try list("llama", [embedding, "model.layers.0.mlp.up_proj.weight"])
    #expect(skipped == ["lm_head", "model.embed_tokens", "model.layers.0.mlp.up_proj"])
    #expect(try list("other", [embedding]) == ["lm_head", "model.embed_tokens"])
    #expect(try list(nil, [], diffusers: true) == nil)
    #expect(try list(nil, ["proj_out.weight"], diffusers: true) == ["proj_out"])
  }
}
