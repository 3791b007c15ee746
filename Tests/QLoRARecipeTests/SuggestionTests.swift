// Misspelt keys, many of them: the right one must be the first that is suggested.
import QLoRAJSON
import QLoRARecipe
import TestSupport
import Testing

@Suite struct SuggestionTests {
  /// The least recipe with `key` at the level of `path`.
  private static func recipe(_ key: String, at path: String) -> String {
    let sections = path.split(separator: ".").dropLast().map(String.init)
    if sections.first == "data", sections.count == 2 {
      return #"{"model":{"path":"m"},"data":{"train":[{"path":"t","\#(key)":0}]}}"#
    }
    let member = "\"\(key)\":0"
    if sections.isEmpty { return RecipeTexts.with("", member) }
    let inner = sections.dropFirst().reversed().reduce(member) { "\"\($1)\":{\($0)}" }
    return RecipeTexts.with(sections[0], inner)
  }

  private static func suggestionRate(slips: Int, perKey: Int) -> (
    right: Int, all: Int, wrong: [String]
  ) {
    var generator = SeededGenerator(seed: UInt64(slips))
    let paths = FieldSchema.recipe.flattened().filter { !$0.path.hasPrefix("data.validation.") }
    let keys = Set(paths.map(\.schema.key))
    var (right, all) = (0, 0)
    var wrong: [String] = []
    for (path, schema) in paths {
      for _ in 0..<perKey {
        let typed = Typist.misspell(schema.key, slips: slips, &generator)
        // A slip can give another key, or two slips none at all.
        if keys.contains(typed) { continue }
        all += 1
        let problems = RecipeTexts.problems(recipe(typed, at: path))
        if problems.contains(where: { $0.hasSuffix("did you mean \"\(schema.key)\"?") }) {
          right += 1
        } else {
          wrong.append("\(typed) for \(path): \(problems)")
        }
      }
    }
    return (right, all, wrong)
  }

  @Test func oneSlip() {
    let result = Self.suggestionRate(slips: 1, perKey: 10)
    #expect(result.all > 400)
    #expect(
      result.right * 100 >= result.all * 95, "\(result.right) of \(result.all) \(result.wrong)")
  }

  @Test func twoSlips() {
    let result = Self.suggestionRate(slips: 2, perKey: 10)
    #expect(result.all > 400)
    #expect(
      result.right * 100 >= result.all * 95, "\(result.right) of \(result.all) \(result.wrong)")
  }

  @Test func everyAliasLeadsToAKey() {
    #expect(RecipeAliases.table.count >= 60)
    for (name, path) in RecipeAliases.table where !path.hasPrefix("(") {
      #expect(FieldSchema.recipe.find(path) != nil, "\(name) leads to \(path)")
    }
  }

  @Test func noAliasHidesAKeyOfOurs() {
    let keys = Set(FieldSchema.recipe.flattened().map(\.schema.key))
    for name in RecipeAliases.table.keys where !name.contains(":") {
      #expect(!keys.contains { $0.lowercased() == name }, "\(name)")
    }
  }

  @Test(arguments: [
    ("lora_r", "adapter.rank"), ("r", "adapter.rank"), ("lora_alpha", "adapter.alpha"),
    ("target_modules", "adapter.targets"), ("micro_batch_size", "training.batchSize"),
    ("per_device_train_batch_size", "training.batchSize"),
    ("gradient_accumulation_steps", "training.gradientAccumulation"),
    ("num_epochs", "training.epochs"), ("num_train_epochs", "training.epochs"),
    ("max_steps", "training.steps"), ("sequence_len", "data.maxTokens"),
    ("cutoff_len", "data.maxTokens"), ("sample_packing", "data.packing"),
    ("bnb_4bit_quant_type", "model.quantization.type"),
    ("bnb_4bit_use_double_quant", "model.quantization.doubleQuant"),
    ("bnb_4bit_compute_dtype", "model.computeDType"), ("base_model", "model.path"),
    ("model_name_or_path", "model.path"), ("val_set_size", "data.validationSplit"),
    ("max_grad_norm", "training.maxGradientNorm"),
    ("gradient_checkpointing", "training.activationMemory"), ("output_dir", "output"),
    ("lr_scheduler_type", "training.schedule.type"), ("save_total_limit", "training.keep"),
  ]) func foreignName(_ name: String, _ path: String) {
    for section in ["", "adapter", "training"] {
      let problems = RecipeTexts.problems(RecipeTexts.with(section, "\"\(name)\":0"))
      #expect(problems.count == 1)
      #expect(problems[0].hasSuffix("; \"\(name)\" is \"\(path)\" here"), "\(problems)")
    }
  }
}
