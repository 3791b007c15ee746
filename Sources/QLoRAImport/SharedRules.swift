// What axolotl and LLaMA-Factory have in common because both pass it on to transformers.
import QLoRAJSON
import QLoRARecipe

extension ConfigImporter {
  mutating func takeModel(_ keys: String...) {
    for key in keys where has(key) && drafted("model.path") == nil {
      guard let name = value(key)?.stringValue else { continue }
      let isFile = name.hasPrefix("/") || name.hasPrefix(".") || name.hasPrefix("~")
      set(
        "model.path", .string(name), from: key,
        because: isFile ? "" : "a name on the hub: `qlora download \(name)` fetches it")
    }
    require("model.path", "Models/model", "the configuration names no model")
  }

  mutating func takeLearning() {
    carry("learning_rate", to: "training.optimizer.learningRate", Conversion.number)
    carry("optimizer", "optim", to: "training.optimizer.type") { value in
      let word = value.stringValue ?? ""
      return Conversion.optimizer(word, RecipeAliases.optimizer(word))
    }
    carry("adam_beta1", to: "training.optimizer.beta1", Conversion.number)
    carry("adam_beta2", to: "training.optimizer.beta2", Conversion.number)
    carry("adam_epsilon", "adam_eps", to: "training.optimizer.epsilon", Conversion.number)
    carry("weight_decay", to: "training.optimizer.weightDecay", Conversion.number)
    carry("max_grad_norm", to: "training.maxGradientNorm", Conversion.number)
    carry("lr_scheduler", "lr_scheduler_type", to: "training.schedule.type", Conversion.schedule)
    takeDuration()
    takeWarmup()
    settleOptimizer()
  }

  /// Keys that the optimizer does not have would be refused.
  mutating func settleOptimizer() {
    var optimizer = Recipe.Optimizer()
    let word = drafted("training.optimizer.type")?.stringValue ?? optimizer.type.rawValue
    optimizer.type = Recipe.Optimizer.Kind(rawValue: word) ?? optimizer.type
    for key in ["beta1", "beta2", "epsilon"] where !optimizer.takes(key) {
      forget("training.optimizer.\(key)", "it means nothing to \(word)")
    }
  }

  private mutating func takeDuration() {
    if let steps = value("max_steps")?.intValue, steps > 0 {
      set("training.steps", .int(steps), from: "max_steps")
      leave("num_epochs", "max_steps counts")
      leave("num_train_epochs", "max_steps counts")
    } else {
      pass("max_steps")
      carry("num_epochs", "num_train_epochs", to: "training.epochs", Conversion.integer)
    }
  }

  private mutating func takeWarmup() {
    let path = "training.schedule.warmupSteps"
    if let steps = value("warmup_steps")?.doubleValue, steps >= 1 || steps == 0 {
      carry("warmup_steps", to: path, Conversion.integer)
    }
    for key in ["warmup_ratio", "warmup_steps"] {
      guard drafted(path) == nil, let ratio = value(key)?.doubleValue else { continue }
      if let steps = drafted("training.steps")?.intValue {
        set(
          path, .int(Int((ratio * Double(steps)).rounded(.up))), from: key,
          because: "\(ratio) of \(steps) steps")
      } else if ratio == 0 {
        set(path, .int(0), from: key)
      } else {
        leave(
          key, "a part of the steps, whose number `qlora plan` says; \(path) is a count of steps")
      }
    }
  }

  mutating func takeRun() {
    carry("output_dir", to: "output")
    carry("seed", to: "training.seed", Conversion.integer)
    carry("neftune_noise_alpha", to: "training.neftuneAlpha", Conversion.number)
    carry("gradient_accumulation_steps", to: "training.gradientAccumulation", Conversion.integer)
    carry("gradient_checkpointing", to: "training.activationMemory", Conversion.recomputation)
    carry("logging_steps", to: "training.logEvery", Conversion.interval)
    carry("save_total_limit", to: "training.keep", Conversion.integer)
    takeStrategy("save_strategy", "save_steps", "training.saveEvery")
    takeStrategy("eval_strategy", "eval_steps", "training.evalEvery")
    takeStrategy("evaluation_strategy", "eval_steps", "training.evalEvery")
    takeNumberType()
  }

  private mutating func takeStrategy(_ strategy: String, _ steps: String, _ path: String) {
    switch value(strategy)?.stringValue {
    case "no"?: set(path, .int(0), from: strategy, because: "at the end there is always one")
    case "epoch"?:
      leave(strategy, "\(path) is a count of steps; `qlora plan` says how many there are")
    case "steps"?: pass(strategy)
    default: if value(strategy)?.boolValue == false { set(path, .int(0), from: strategy) }
    }
    carry(steps, to: path, Conversion.interval)
  }

  private mutating func takeNumberType() {
    let kinds = [
      ("bf16", "bfloat16"), ("bfloat16", "bfloat16"), ("fp16", "float16"), ("float16", "float16"),
      ("pure_bf16", "bfloat16"),
    ]
    for (key, word) in kinds where has(key) {
      if isTrue(key) || value(key) == "auto" {
        set("model.computeDType", .string(word), from: key)
      } else {
        pass(key)
      }
    }
  }

  /// PEFT divides by the root of a rank that it stabilizes; the same scale needs another alpha.
  mutating func takeAdapter(rank: String, alpha: String, dropout: String, stabilized: String) {
    carry(rank, to: "adapter.rank", Conversion.integer)
    if isTrue(stabilized), let scale = value(alpha)?.doubleValue,
      let columns = drafted("adapter.rank")?.doubleValue
    {
      pass(stabilized)
      set(
        "adapter.alpha", .double(scale * columns.squareRoot()), from: alpha,
        because: "\(stabilized) scales by alpha ÷ √rank, which this alpha gives")
    } else {
      carry(alpha, to: "adapter.alpha", Conversion.number)
      if value(stabilized)?.boolValue == false { pass(stabilized) }
    }
    carry(dropout, to: "adapter.dropout", Conversion.number)
  }

  /// Modules that are trained whole beside the adapter: a list, or words with commas between.
  mutating func takeSavedModules(_ key: String) {
    carry(key, to: "adapter.modulesToSave") { value in
      guard let text = value.stringValue else { return .same(value) }
      let names = text.split(separator: ",").map { name in
        JSONValue.string(name.filter { $0 != " " })
      }
      return .same(.list(names))
    }
  }
}
