// PEFT's adapter_config.json: it describes an adapter; the rest of the recipe is at its defaults.
import QLoRAJSON

extension ConfigImporter {
  mutating func importPEFT() {
    takeModel("base_model_name_or_path")
    carry("peft_type", to: "adapter.type") { value in
      value == "LORA" ? .changed("lora", "its name here") : .left("only LoRA is trained here")
    }
    takeAdapter(rank: "r", alpha: "lora_alpha", dropout: "lora_dropout", stabilized: "use_rslora")
    carry("target_modules", to: "adapter.targets")
    if value("task_type") == "SEQ_CLS" {
      leave("modules_to_save", "a classification run saves its head without being told")
    }
    takeSavedModules("modules_to_save")
    require("data.train", Self.placeholder, "an adapter's configuration names no rows")
    for (key, standard) in Self.standards where value(key) == standard { pass(key) }
    leaveTheRest(depth: 1)
  }

  /// What a plain LoRA adapter says of things that are not here.
  private static let standards: [(String, JSONValue)] = [
    ("bias", "none"), ("task_type", "CAUSAL_LM"), ("init_lora_weights", true),
    ("inference_mode", true), ("inference_mode", false), ("fan_in_fan_out", false),
    ("use_dora", false), ("lora_bias", false), ("rank_pattern", .dictionary([])),
    ("alpha_pattern", .dictionary([])), ("loftq_config", .dictionary([])), ("use_qalora", false),
    ("megatron_core", "megatron.core"), ("qalora_group_size", .int(16)), ("use_bdlora", .null),
    ("ensure_weight_tying", false),
  ]
}
