// LLaMA-Factory's training arguments (llamafactory/hparams, August 2026).
import QLoRAJSON

extension ConfigImporter {
  mutating func importLlamaFactory() {
    takeModel("model_name_or_path")
    takeFactoryWeights()
    takeAdapter(
      rank: "lora_rank", alpha: "lora_alpha", dropout: "lora_dropout", stabilized: "use_rslora")
    takeFactoryTargets()
    takeSavedModules("additional_target")
    carry("adapter_name_or_path", to: "adapter.initializeFrom")
    takeFactoryRows()
    takeLearning()
    carry("per_device_train_batch_size", to: "training.batchSize", Conversion.integer)
    takeRun()
    carry("run_name", to: "name")
    if isTrue("disable_gradient_checkpointing") {
      set("training.activationMemory", "none", from: "disable_gradient_checkpointing")
    }
    assumeFactory()
    leaveTheRest(depth: 1)
  }

  private mutating func takeFactoryWeights() {
    let path = "model.quantization.type"
    if let kind = value("finetuning_type")?.stringValue, kind != "lora" {
      differ("finetuning_type", "there is no \(kind) here; the recipe trains a LoRA adapter")
    }
    carry("finetuning_type", to: "adapter.type")
    if let stage = value("stage"), stage != "sft", stage != "pt" {
      differ("stage", "no preference or reward training here; the recipe trains on answers")
    }
    pass("stage", "do_train")
    let code = value("quantization_type")?.stringValue ?? "nf4"
    switch value("quantization_bit")?.intValue {
    case 4?:
      set(path, .string(code), from: "quantization_bit")
      pass("quantization_type")
      carry("double_quantization", to: "model.quantization.doubleQuant")
    case 8?: set(path, "int8", from: "quantization_bit")
    case let bits?: leave("quantization_bit", "there are no weights of \(bits) bits here")
    case nil: break
    }
    assume(path, "none", "weights are not quantized without quantization_bit")
  }

  private mutating func takeFactoryTargets() {
    carry("lora_target", to: "adapter.targets") { value in
      let text = value.stringValue ?? ""
      if text == "all" { return .same("all-linear") }
      let names = text.split(separator: ",").map { name in
        JSONValue.string(name.filter { $0 != " " })
      }
      return names.isEmpty ? .same(value) : .same(.list(names))
    }
  }

  private mutating func takeFactoryRows() {
    takeNamedRows("dataset", "data.train")
    require("data.train", Self.placeholder, "the configuration names no rows")
    takeNamedRows("eval_dataset", "data.validation")
    if drafted("data.validation") == nil, (value("val_size")?.doubleValue ?? 0) < 1 {
      carry("val_size", to: "data.validationSplit", Conversion.number)
    } else {
      leave("val_size", "a number of rows; data.validationSplit is a part of them")
    }
    carry("cutoff_len", to: "data.maxTokens", Conversion.integer)
    carry("packing", "neat_packing", to: "data.packing")
    carry("mask_history", to: "data.trainOn") { value in
      value == true ? .same("last-assistant") : .same("all-assistant")
    }
    carry("disable_shuffling", to: "data.shuffle") { value in
      .changed(.bool(value != true), "it is the opposite")
    }
  }

  private mutating func takeNamedRows(_ key: String, _ path: String) {
    guard let value = value(key) else { return }
    let names =
      value.arrayValue?.compactMap(\.stringValue)
      ?? value.stringValue?.split(separator: ",").map { $0.filter { $0 != " " } } ?? []
    let limit = self.value("max_samples")?.intValue
    let format = self.value("stage") == "pt" ? "text" : "alpaca"
    let sources = names.map { name in
      JSONValue.dictionary(
        [("path", .string(name + ".json")), ("format", .string(format))]
          + (limit.map { [("limit", JSONValue.int($0))] } ?? []))
    }
    if limit != nil, path == "data.train" {
      set("data.train", .list(sources), from: key, because: Self.factoryNames)
      pass("max_samples", "dataset_dir")
    } else {
      set(path, .list(sources), from: key, because: Self.factoryNames)
      pass("dataset_dir")
    }
  }

  private static let factoryNames =
    "names of dataset_info.json, which says file and format; alpaca is its usual one"

  private mutating func assumeFactory() {
    let reason = "LLaMA-Factory's own, where none is given"
    assume("adapter.rank", .int(8), reason)
    if let rank = drafted("adapter.rank")?.intValue {
      assume("adapter.alpha", .int(2 * rank), "twice the rank: \(reason)")
    }
    assume("data.maxTokens", .int(2048), reason)
    assume("data.packing", .bool(value("stage") == "pt"), reason)
    if drafted("training.steps") == nil { assume("training.epochs", .int(3), reason) }
    assume("training.optimizer.learningRate", .double(5e-5), reason)
    assume("training.batchSize", .int(8), reason)
    assume("training.schedule.type", "linear", reason)
    assume("training.activationMemory", "full", "blocks are recomputed: \(reason)")
    assume("training.seed", .int(42), reason)
    if !has("warmup_steps"), !has("warmup_ratio") {
      assume("training.schedule.warmupSteps", .int(0), reason)
    }
  }
}
