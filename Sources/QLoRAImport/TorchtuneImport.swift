// torchtune's recipe configurations (recipes/configs, April 2026), whose sections name the Python
// object that they build.
import QLoRAJSON
import QLoRARecipe

extension ConfigImporter {
  mutating func importTorchtune() {
    takeModel("checkpointer.checkpoint_dir")
    takeTorchtuneAdapter()
    takeTorchtuneRows()
    takeTorchtuneLearning()
    carry("output_dir", to: "output")
    carry("seed", to: "training.seed", Conversion.integer)
    carry("dtype", to: "model.computeDType") { value in
      switch value {
      case "bf16": .same("bfloat16")
      case "fp16": .same("float16")
      case "fp32": .same("float32")
      default: .left("there is no such number type")
      }
    }
    carry("device", to: "device") { value in
      value == "cpu" ? .same("cpu") : .changed("auto", "the fastest device that is present")
    }
    carry("log_every_n_steps", to: "training.logEvery", Conversion.interval)
    carry(
      "enable_activation_checkpointing", to: "training.activationMemory", Conversion.recomputation)
    carry("run_val_every_n_steps", to: "training.evalEvery", Conversion.interval)
    let loss = value("loss._component_")?.stringValue ?? ""
    if has("teacher_model") || has("kd_loss") || loss.contains("rlhf") {
      differ(
        "loss._component_", "no preference training or distillation; the recipe trains on answers")
    }
    pass(
      "checkpointer.output_dir", "checkpointer.checkpoint_files", "checkpointer.model_type",
      "checkpointer._component_", "loss._component_", "tokenizer.path", "tokenizer._component_")
    leaveTheRest(depth: 2)
  }

  private mutating func takeTorchtuneAdapter() {
    let component = value("model._component_")?.stringValue ?? ""
    let name = component.split(separator: ".").last.map(String.init) ?? ""
    let isQuantized = name.hasPrefix("qlora_") || isTrue("model.quantize_base")
    pass("model.quantize_base")
    if name.contains("lora") {
      set(
        "model.quantization.type", isQuantized ? "nf4" : "none", from: "model._component_")
    } else {
      differ(
        "model._component_", "all weights are trained there; the recipe trains a LoRA adapter")
    }
    takeAdapter(
      rank: "model.lora_rank", alpha: "model.lora_alpha", dropout: "model.lora_dropout",
      stabilized: "model.use_rslora")
    takeTorchtuneTargets()
  }

  private mutating func takeTorchtuneTargets() {
    guard let modules = value("model.lora_attn_modules")?.arrayValue else { return }
    var names = modules.compactMap(\.stringValue).map { $0 == "output_proj" ? "o_proj" : $0 }
    if isTrue("model.apply_lora_to_mlp") { names += ["gate_proj", "up_proj", "down_proj"] }
    pass("model.apply_lora_to_mlp")
    if value("model.apply_lora_to_output")?.boolValue == false {
      pass("model.apply_lora_to_output")
    }
    let isRenamed = modules.contains("output_proj") || isTrue("model.apply_lora_to_mlp")
    set(
      "adapter.targets", .list(names.map { .string($0) }), from: "model.lora_attn_modules",
      because: isRenamed ? "with the names that Hugging Face gives them" : "")
  }

  private mutating func takeTorchtuneRows() {
    takeTorchtuneSource("dataset", "data.train")
    require("data.train", Self.placeholder, "the configuration names no rows")
    takeTorchtuneSource("dataset_val", "data.validation")
    carry("tokenizer.max_seq_len", to: "data.maxTokens", Conversion.integer)
    assume(
      "data.maxTokens", .int(2048), "torchtune cuts nothing without max_seq_len; here 2048 tokens")
    carry("dataset.packed", to: "data.packing")
    assume("data.packing", false, "torchtune does not pack unless packed is on")
    carry("shuffle", to: "data.shuffle")
  }

  private mutating func takeTorchtuneSource(_ key: String, _ path: String) {
    guard let entry = value(key) else { return }
    let name = entry["_component_"]?.stringValue?.split(separator: ".").last.map(String.init) ?? ""
    var reasons: [String] = []
    let known: [(part: String, format: String, source: String)] = [
      ("alpaca_cleaned", "alpaca", "yahma/alpaca-cleaned"),
      ("alpaca", "alpaca", "tatsu-lab/alpaca"),
      ("text_completion", "text", "train.jsonl"), ("wikitext", "text", "wikitext.txt"),
      ("instruct", "alpaca", "train.json"), ("chat", "messages", "train.jsonl"),
    ]
    let kind = known.first { name.contains($0.part) }
    if kind == nil { reasons.append("\(name) has no counterpart; write its rows as messages") }
    var format = kind?.format ?? "messages"
    if entry["conversation_style"] == "sharegpt" { format = "sharegpt" }
    let files = entry["data_files"]
    let file = files?.stringValue ?? files?.arrayValue?.first?.stringValue
    let source = entry["source"]?.stringValue ?? kind?.source ?? "train.jsonl"
    if file == nil {
      reasons.append(
        "\(source) is a data set on a hub; `qlora download --dataset` it, and name its file")
    }
    if let split = entry["split"]?.stringValue, split != "train" {
      reasons.append("split \(split) is left out")
    }
    pass(
      "\(key).source", "\(key).data_files", "\(key).split", "\(key).conversation_style",
      "\(key).conversation_column")
    if path == "data.validation" { pass("\(key).packed") }
    set(
      path, .list([.dictionary([("path", .string(file ?? source)), ("format", .string(format))])]),
      from: "\(key)._component_", because: reasons.joined(separator: "; "))
  }

  private mutating func takeTorchtuneLearning() {
    carry("batch_size", to: "training.batchSize", Conversion.integer)
    carry("gradient_accumulation_steps", to: "training.gradientAccumulation", Conversion.integer)
    takeTorchtuneDuration()
    carry("optimizer._component_", to: "training.optimizer.type") { value in
      let word = value.stringValue ?? ""
      return Conversion.optimizer(word, RecipeAliases.optimizer(word))
    }
    carry("optimizer.lr", to: "training.optimizer.learningRate", Conversion.number)
    carry("optimizer.weight_decay", to: "training.optimizer.weightDecay", Conversion.number)
    carry("optimizer.eps", to: "training.optimizer.epsilon", Conversion.number)
    if let betas = value("optimizer.betas")?.arrayValue, betas.count == 2 {
      set("training.optimizer.beta1", betas[0], from: "optimizer.betas")
      set("training.optimizer.beta2", betas[1], from: "optimizer.betas")
    }
    settleOptimizer()
    carry("lr_scheduler._component_", to: "training.schedule.type") { value in
      let name = value.stringValue ?? ""
      return ["cosine", "linear", "constant"].first { name.contains($0) }.map {
        .same(.string($0))
      } ?? .changed("cosine", "there is no \(name) here")
    }
    carry(
      "lr_scheduler.num_warmup_steps", to: "training.schedule.warmupSteps", Conversion.integer)
    if value("lr_scheduler") == nil {
      assume("training.schedule.type", "constant", "torchtune's rate stays without lr_scheduler")
      assume("training.schedule.warmupSteps", .int(0), "torchtune has no warm-up without one")
    }
    carry("clip_grad_norm", to: "training.maxGradientNorm", Conversion.number)
    assume("training.maxGradientNorm", .int(0), "torchtune does not clip without clip_grad_norm")
  }

  private mutating func takeTorchtuneDuration() {
    let epochs = value("epochs")?.intValue ?? 1
    guard let steps = value("max_steps_per_epoch")?.intValue, steps > 0 else {
      return carry("epochs", to: "training.epochs", Conversion.integer)
    }
    set(
      "training.steps", .int(steps * epochs), from: "max_steps_per_epoch",
      because: "\(steps) steps in each of \(epochs) epochs; fewer where the rows end before")
    leave("epochs", "counted in training.steps")
  }
}
