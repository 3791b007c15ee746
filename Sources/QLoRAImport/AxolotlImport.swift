// axolotl's configuration, by its own schema (axolotl/utils/schemas, July 2026).
import QLoRAJSON

extension ConfigImporter {
  mutating func importAxolotl() {
    takeModel("base_model")
    takeAxolotlWeights()
    takeAdapter(
      rank: "lora_r", alpha: "lora_alpha", dropout: "lora_dropout", stabilized: "peft_use_rslora")
    takeAxolotlTargets()
    takeSavedModules("lora_modules_to_save")
    carry("lora_model_dir", to: "adapter.initializeFrom")
    takeAxolotlRows()
    takeLearning()
    carry("micro_batch_size", to: "training.batchSize", Conversion.integer)
    takeRun()
    carry("wandb_name", to: "name") { .changed($0, "the run's name here") }
    for key in ["rl", "reward_model", "process_reward_model"]
    where has(key) && value(key) != false {
      differ(key, "no preference or reward training here; the recipe trains on answers")
    }
    leave("batch_size", "micro_batch_size and gradient_accumulation_steps say it")
    assumeAxolotl()
    leaveTheRest(depth: 1)
  }

  private mutating func takeAxolotlWeights() {
    let path = "model.quantization.type"
    let bits = isTrue("load_in_4bit") ? "nf4" : isTrue("load_in_8bit") ? "int8" : "none"
    switch value("adapter")?.stringValue {
    case "lora"?, "qlora"?: set("adapter.type", "lora", from: "adapter")
    case let word?:
      differ("adapter", "there is no \(word) here; the recipe trains a LoRA adapter")
    case nil:
      differ("adapter", "not given: all weights are trained; the recipe trains a LoRA adapter")
    }
    for (key, word) in [("load_in_4bit", "nf4"), ("load_in_8bit", "int8")] where has(key) {
      if isTrue(key), bits == word { set(path, .string(word), from: key) } else { pass(key) }
    }
    assume(path, .string(bits), "neither load_in_4bit nor load_in_8bit is on")
  }

  private mutating func takeAxolotlTargets() {
    let path = "adapter.targets"
    if isTrue("lora_target_linear") {
      set(path, "all-linear", from: "lora_target_linear")
      leave("lora_target_modules", "lora_target_linear means all linears already")
    } else {
      pass("lora_target_linear")
      carry("lora_target_modules", to: path)
    }
  }

  private mutating func takeAxolotlRows() {
    takeSources("datasets", "data.train")
    if drafted("data.train") == nil { takeSources("pretraining_dataset", "data.train", "pretrain") }
    require("data.train", Self.placeholder, "the configuration names no rows")
    takeSources("test_datasets", "data.validation")
    let split = value("val_set_size")?.doubleValue ?? 0
    if drafted("data.validation") != nil {
      leave("val_set_size", "test_datasets are the validation rows")
    } else if split >= 1 {
      leave("val_set_size", "a number of rows; data.validationSplit is a part of them")
    } else {
      carry("val_set_size", to: "data.validationSplit", Conversion.number)
    }
    carry("sequence_len", to: "data.maxTokens", Conversion.integer)
    carry("sample_packing", to: "data.packing")
    carry("shuffle_merged_datasets", to: "data.shuffle")
    carry("excess_length_strategy", to: "data.overLength") { value in
      value == "raise" ? .changed("error", "its name here") : .same(value)
    }
  }

  private mutating func assumeAxolotl() {
    assume("data.packing", false, "axolotl does not pack unless sample_packing is on")
    assume("data.overLength", "drop", "axolotl drops rows that are too long")
    assume("training.batchSize", .int(1), "axolotl's micro_batch_size where none is given")
    if !has("warmup_steps"), !has("warmup_ratio") {
      assume(
        "training.schedule.warmupSteps", .int(10),
        "axolotl takes 3 % of the steps, at most 100, where none is given; here 10")
    }
  }

  static let placeholder = JSONValue.list([
    .dictionary([("path", "train.jsonl"), ("format", "messages")])
  ])
}
