// Why well-known keys of other tools have no counterpart here; only words, no rules.

enum LeftBehind {
  static func reason(for key: String) -> String {
    let last = key.split(separator: ".").last.map(String.init) ?? key
    let first = key.split(separator: ".").first.map(String.init) ?? key
    return exact[key] ?? exact[last]
      ?? prefixes.first { first.hasPrefix($0.prefix) || last.hasPrefix($0.prefix) }?.reason
      ?? "qlora has nothing of this meaning"
  }

  private static let oneProcess = "a run is one process on one machine"
  private static let kernels = "kernels are chosen by the processor; there is nothing to set"
  private static let nobody = "no outside service is told; see `qlora dashboard` and report.html"
  private static let template = "the model's own chat template and special tokens are used"
  private static let preference = "no preference or reward training here; this is another task"
  private static let never = "nothing is uploaded"
  private static let pictures = "models of text only"

  private static let exact: [String: String] = [
    "trust_remote_code": "no code of a model is ever run",
    "chat_template": template, "chat_template_jinja": template, "template": template,
    "special_tokens": template, "tokens": template, "eot_tokens": template,
    "default_system_message": "put a system message into the rows",
    "dataset_prepared_path": "rows are read at each start, which takes seconds",
    "dataset_processes": "rows are read at each start, which takes seconds",
    "preprocessing_num_workers": "rows are read at each start, which takes seconds",
    "dataloader_num_workers": "batches are made while the last one is computed",
    "overwrite_cache": "rows are read at each start, which takes seconds",
    "overwrite_output_dir": "a run never overwrites another; choose another output",
    "pad_to_sequence_len": "nothing is padded, so nothing is computed for padding",
    "eval_sample_packing": "evaluations are packed as training is",
    "group_by_length": "nothing is padded, so rows need no sorting",
    "gradient_checkpointing_kwargs": "recomputation has one kind here",
    "activation_offloading": "activations are recomputed, not moved: training.activationMemory",
    "enable_activation_offloading":
      "activations are recomputed, not moved: training.activationMemory",
    "resume_from_checkpoint": "`qlora resume RUN` continues a run",
    "auto_resume_from_checkpoints": "`qlora resume RUN` continues a run",
    "recipe_checkpoint": "`qlora resume RUN` continues a run",
    "loss_watchdog_threshold": "training.onNonFinite watches for losses that are no numbers",
    "loss_watchdog_patience": "training.onNonFinite watches for losses that are no numbers",
    "early_stopping_patience": "a run trains all of its steps; see eval in metrics.jsonl",
    "train_on_inputs": "prompts are never trained",
    "train_on_prompt": "prompts are never trained",
    "lora_modules_to_save": "embedding and head stay frozen",
    "modules_to_save": "embedding and head stay frozen",
    "additional_target": "embedding and head stay frozen",
    "apply_lora_to_output": "the head gets no adapter", "bias": "biases stay frozen",
    "unfrozen_parameters": "only adapters are trained",
    "save_only_model": "checkpoints always hold what resuming needs",
    "save_adapter_weights_only": "checkpoints always hold what resuming needs",
    "save_safetensors": "adapters are always safetensors",
    "strict": "recipes are always strict",
    "skip_prepare_dataset": "rows are read at each start, which takes seconds",
    "quantize_moe_experts": "dense models only", "use_scattermoe": "dense models only",
    "experts_implementation": "dense models only", "llama4_linearized_experts": "dense models only",
    "lora_target_parameters": "adapters are for linears only",
    "use_tensorboard": "TensorBoard files are always written",
    "low_cpu_ram": "weights are quantized as they are read",
    "decoder_trainable": "models of text only", "fusion_trainable": "models of text only",
    "bnb_config_kwargs": "model.quantization says it all",
    "dataset_exact_deduplication": "rows are taken as they are; delete repeated ones",
    "lr_quadratic_warmup": "the warm-up is linear",
    "resize_token_embeddings_to_32x": "the embedding keeps its size",
    "plugins": "there are no plugins",
    "report_to": nobody, "plot_loss": "loss.svg and report.html are always drawn",
    "eval_batch_size": "evaluations take training.batchSize",
    "per_device_eval_batch_size": "evaluations take training.batchSize",
    "batch_size_val": "evaluations take training.batchSize",
    "evals_per_epoch": "training.evalEvery is a count of steps; `qlora plan` says how many there are",
    "saves_per_epoch": "training.saveEvery is a count of steps; `qlora plan` says how many there are",
    "remove_unused_columns": "fields of a row that its format lacks are not read",
    "model_type": "config.json says what the model is",
    "tokenizer_type": "tokenizer.json says what the tokenizer is",
    "processor_type": pictures, "image_max_pixels": pictures, "video_max_pixels": pictures,
    "bf16_full_eval": "evaluations have training's number type",
    "debug": "exit codes and messages say what failed",
    "do_train": "`qlora train` trains", "do_eval": "`qlora eval` evaluates",
    "stage": "rows with answers, or plain text, are trained on; nothing else",
    "rl": preference, "trl": preference, "reward_model": preference, "kd_ratio": preference,
    "teacher_model": preference, "pref_beta": preference, "pref_loss": preference,
    "peft_layers_to_transform": "a pattern in adapter.targets says which layers",
    "layers_to_transform": "a pattern in adapter.targets says which layers",
    "rank_pattern": "one rank for all linears",
    "alpha_pattern": "one alpha for all linears", "init_lora_weights": "A is random, B is zero",
    "task_type": "causal language models only", "loss": "cross-entropy over trained tokens",
    "low_cpu_mem_usage": "weights are quantized as they are read",
    "log_peak_memory_stats": "`qlora plan` and report.html state memory",
    "collate_fn": "there is one way of batching", "seed_everything": "training.seed",
    "cosine_min_lr_ratio": "the cosine ends at 0", "num_cycles": "the cosine is half of one period",
    "compile": kernels, "fused": kernels, "tf32": kernels, "use_kernels": kernels,
    "batch_size": "micro_batch_size and gradient_accumulation_steps say it",
    "optimizer_in_bwd": "gradients are summed before the update",
  ]

  private static let prefixes: [(prefix: String, reason: String)] = [
    ("wandb", nobody), ("mlflow", nobody), ("comet", nobody), ("swanlab", nobody),
    ("trackio", nobody), ("otel", nobody), ("use_wandb", nobody), ("use_otel", nobody),
    ("metric_logger", "metrics.jsonl and TensorBoard files are always written"),
    ("hub_", never), ("push_", never), ("hf_", never),
    ("fsdp", oneProcess), ("deepspeed", oneProcess), ("ddp", oneProcess), ("dp_", oneProcess),
    ("local_rank", oneProcess), ("world_size", oneProcess), ("tensor_parallel", oneProcess),
    ("context_parallel", oneProcess), ("expert_parallel", oneProcess), ("ray_", oneProcess),
    ("accelerator", oneProcess),
    ("flash_", kernels), ("attn_impl", kernels), ("sdp", kernels), ("xformers", kernels),
    ("flex_att", kernels), ("liger", kernels), ("torch_compile", kernels), ("use_liger", kernels),
    ("lora_mlp_kernel", kernels), ("lora_qkv_kernel", kernels), ("lora_o_kernel", kernels),
    ("cut_cross", kernels), ("fused_", kernels), ("use_unsloth", kernels),
    ("gptq", "weights are quantized here, by model.quantization"),
    ("quantization_method", "weights are quantized here, by model.quantization"),
    ("quantizer", "weights are quantized here, by model.quantization"),
    ("profiler", "`perf` and `qlora-bench` show where time goes"),
    ("dataloader", "batches are made while the last one is computed"),
    ("tokenizer", template), ("log_level", "messages are few; --json has all of them"),
    ("orpo", preference), ("kto", preference), ("dpo", preference), ("simpo", preference),
    ("image", pictures), ("video", pictures), ("freeze_", pictures), ("encoder_", pictures),
    ("galore", "one of AdamW, Lion and gradient descent trains all adapters"),
    ("relora", "one adapter is trained throughout"),
    ("loraplus", "A and B have one learning rate"),
    ("early_stopping", "a run trains all of its steps; see eval in metrics.jsonl"),
    ("teacher", preference), ("kd_", preference),
  ]
}
