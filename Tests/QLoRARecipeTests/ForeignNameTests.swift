// The options that people know from other tools: each gets an answer of its own.
import QLoRARecipe
import Testing

@Suite struct ForeignNameTests {
  static let options: [String: String] = [
    "PEFT": """
    r target_modules exclude_modules lora_alpha lora_dropout fan_in_fan_out bias use_rslora
    modules_to_save init_lora_weights layers_to_transform layers_pattern rank_pattern
    alpha_pattern use_dora peft_type task_type base_model_name_or_path loftq_config
    trainable_token_indices layer_replication lora_bias target_parameters revision
    """,
    "transformers": """
    output_dir per_device_train_batch_size num_train_epochs max_steps learning_rate
    lr_scheduler_type lr_scheduler_kwargs warmup_steps warmup_ratio optim optim_args weight_decay
    adam_beta1 adam_beta2 adam_epsilon gradient_accumulation_steps max_grad_norm
    label_smoothing_factor bf16 fp16 tf32 gradient_checkpointing gradient_checkpointing_kwargs
    torch_compile use_liger_kernel neftune_noise_alpha auto_find_batch_size logging_steps
    logging_first_step report_to run_name eval_strategy eval_steps eval_delay
    per_device_eval_batch_size save_strategy save_steps save_total_limit save_only_model
    push_to_hub hub_model_id load_best_model_at_end metric_for_best_model seed data_seed use_cpu
    dataloader_num_workers remove_unused_columns group_by_length ddp_timeout fsdp deepspeed
    resume_from_checkpoint disable_tqdm full_determinism
    average_tokens_across_devices fp16_full_eval activation_checkpointing
    activation_checkpointing_kwargs log_on_each_node logging_nan_inf_filter project
    trackio_space_id prediction_loss_only eval_do_concat_batches eval_use_gather_object
    include_for_metrics batch_eval_metrics save_on_each_node enable_jit_checkpoint
    greater_is_better restore_callback_states_from_checkpoint parallelism_config label_names
    train_sampling_strategy length_column_name
    bnb_4bit_quant_type bnb_4bit_use_double_quant bnb_4bit_compute_dtype load_in_4bit
    load_in_8bit llm_int8_threshold llm_int8_skip_modules torch_dtype attn_implementation
    """,
    "TRL": """
    max_length packing packing_strategy padding_free pad_to_multiple_of eval_packing
    completion_only_loss assistant_only_loss dataset_text_field dataset_num_proc shuffle_dataset
    activation_offloading chat_template_path eos_token pad_token loss_type model_init_kwargs
    dataset_kwargs truncation_mode
    """,
    "axolotl": """
    base_model adapter lora_model_dir lora_r lora_target_linear lora_target_modules
    lora_modules_to_save peft_use_dora peft_use_rslora datasets test_datasets pretraining_dataset
    dataset_prepared_path val_set_size sequence_len sample_packing eval_sample_packing
    pad_to_sequence_len excess_length_strategy train_on_inputs chat_template roles_to_train
    micro_batch_size optimizer lr_scheduler evals_per_epoch saves_per_epoch wandb_project
    wandb_name flash_attention special_tokens loss_watchdog_threshold early_stopping_patience
    trust_remote_code tokenizer_type model_type fsdp_config max_memory gpu_memory_limit
    shuffle_merged_datasets unfrozen_parameters relora_prune_ratio loraplus_lr_ratio rl plugins
    """,
    "LLaMA-Factory": """
    model_name_or_path adapter_name_or_path quantization_bit quantization_type
    double_quantization finetuning_type stage lora_rank lora_target additional_target
    dataset dataset_dir eval_dataset template cutoff_len max_samples val_size mask_history
    train_on_prompt neat_packing mix_strategy interleave_probs streaming buffer_size
    overwrite_cache preprocessing_num_workers overwrite_output_dir plot_loss pissa_init
    disable_gradient_checkpointing disable_shuffling use_unsloth flash_attn rope_scaling
    """,
    "torchtune": """
    lora_attn_modules apply_lora_to_mlp apply_lora_to_output checkpoint_dir packed max_seq_len
    batch_size epochs max_steps_per_epoch clip_grad_norm compile dtype lr num_warmup_steps
    enable_activation_checkpointing enable_activation_offloading log_every_n_steps
    log_peak_memory_stats recipe_checkpoint metric_logger profiler optimizer_in_bwd
    """,
    "unsloth, mlx-lm, qlora.py": """
    max_seq_length full_finetuning use_gradient_checkpointing random_state max_lora_rank
    finetune_vision_layers gpu_memory_utilization training_mode test test_batches lora_parameters
    grad_accumulation_steps lr_schedule hf_dataset clear_cache_threshold iters
    steps_per_report steps_per_eval save_every adapter_path
    num_layers grad_checkpoint mask_prompt resume_adapter_file fine_tune_type val_batches
    bits quant_type double_quant max_memory_MB source_max_len target_max_len train_on_source
    max_train_samples eval_dataset_size dataset_format do_mmlu_eval max_mmlu_samples
    full_finetune adam8bit max_new_tokens
    """,
  ]

  /// Neither a list of all keys, nor a guess at another word.
  @Test(arguments: options.keys.sorted())
  func everyOptionGetsAnAnswer(tool: String) throws {
    let names = (Self.options[tool] ?? "").split { $0 == " " || $0 == "\n" }
    for name in names {
      let problem = try #require(
        RecipeTexts.problems(RecipeTexts.with("", "\"\(name)\":0")).first, "\(name)")
      #expect(!problem.contains("known here: "), "\(problem)")
      let plain = name.lowercased().replacing("_", with: "")
      let guess = problem.firstMatch(of: /did you mean "(?:\w+\.)*(\w+)"\?$/)?.output.1
      #expect(guess == nil || guess?.lowercased() == plain, "\(problem)")
    }
  }
}
