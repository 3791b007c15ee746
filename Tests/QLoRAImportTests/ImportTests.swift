// Configurations of other tools as recipes: what they hold, and what is said about the rest.
import QLoRADiagnostics
import QLoRAImport
import QLoRAJSON
import QLoRARecipe
import Testing

@Suite struct ImportTests {
  private func load(_ text: String, from tool: ImportedRecipe.Tool? = nil) throws -> ImportedRecipe
  {
    try ImportedRecipe(bytes: Array(text.utf8), file: "config.yml", from: tool)
  }

  /// The recipe's value at a path, as JSON.
  private func value(_ imported: ImportedRecipe, _ path: String) -> String? {
    let found = path.split(separator: ".").reduce(imported.recipe as JSONValue?) { value, key in
      Int(key).map { value?.arrayValue?[$0] } ?? value?[String(key)]
    }
    return found.map { JSONWriter.text($0) }
  }

  private func note(_ imported: ImportedRecipe, _ key: String) -> ImportNote? {
    imported.notes.first { $0.key == key }
  }

  private func expect(_ imported: ImportedRecipe, _ pairs: [(String, String)]) {
    for (path, expected) in pairs { #expect(value(imported, path) == expected, "\(path)") }
    // The recipe reads back, and its file says what its tree does.
    #expect(throws: Never.self) {
      try RecipeLoader.load(bytes: Array(imported.text.utf8), file: "r.json")
    }
  }

  static let axolotl = """
    base_model: ./models/llama
    load_in_4bit: true
    adapter: qlora
    lora_r: 8
    lora_alpha: 16
    lora_dropout: 0.05
    lora_target_linear: true
    datasets:
      - path: rows/chat.jsonl
        type: chat_template
        field_messages: conversations
        message_property_mappings: {role: from, content: value}
      - path: somebody/stories
        type: completion
        split: train[:10%]
    val_set_size: 0.02
    sequence_len: 1024
    sample_packing: yes
    micro_batch_size: 2
    gradient_accumulation_steps: 4
    max_steps: 200
    num_epochs: 3
    warmup_ratio: 0.05
    optimizer: paged_adamw_8bit
    learning_rate: 2e-4
    lr_scheduler: cosine
    adam_beta2: 0.95
    bf16: auto
    gradient_checkpointing: true
    excess_length_strategy: raise
    save_steps: 0.25
    eval_steps: 20
    save_total_limit: 3
    wandb_project: mine
    wandb_name:
    flash_attention: true
    special_tokens: {pad_token: "<pad>"}
    something_new: 3
    """

  @Test func axolotl() throws {
    let imported = try load(Self.axolotl)
    #expect(imported.tool == .axolotl)
    expect(
      imported,
      [
        ("model.path", #""./models/llama""#), ("model.quantization.type", #""nf4""#),
        ("adapter.rank", "8"), ("adapter.alpha", "16"), ("adapter.targets", #""all-linear""#),
        ("data.train.0.path", #""rows/chat.jsonl""#), ("data.train.0.format", #""sharegpt""#),
        ("data.train.1.format", #""text""#), ("data.validationSplit", "0.02"),
        ("data.maxTokens", "1024"), ("data.packing", "true"), ("data.overLength", #""error""#),
        ("training.batchSize", "2"), ("training.gradientAccumulation", "4"),
        ("training.steps", "200"), ("training.schedule.warmupSteps", "10"),
        ("training.optimizer.type", #""pagedadamw8bit""#),
        ("training.optimizer.learningRate", "0.0002"), ("training.optimizer.beta2", "0.95"),
        ("model.computeDType", #""bfloat16""#), ("training.activationMemory", #""full""#),
        ("training.evalEvery", "20"), ("training.keep", "3"),
      ])
    #expect(value(imported, "training.epochs") == nil)
    #expect(note(imported, "num_epochs")?.fate == .left)
    #expect(note(imported, "warmup_ratio")?.reason == "0.05 of 200 steps")
    #expect(
      note(imported, "save_steps")?.reason == "a part of all steps; here it is a count of steps")
    #expect(note(imported, "datasets")?.reason.contains("somebody/stories is a data set") == true)
    #expect(note(imported, "wandb_project")?.reason.contains("no outside service") == true)
    #expect(note(imported, "wandb_name") == nil)
    #expect(note(imported, "something_new")?.reason == "qlora has nothing of this meaning")
    #expect(note(imported, "base_model")?.fate == .carried)
  }

  static let torchtune = """
    output_dir: runs/tune
    model:
      _component_: torchtune.models.llama3_2.qlora_llama3_2_1b
      lora_attn_modules: ['q_proj', 'output_proj']
      apply_lora_to_mlp: True
      lora_rank: 4
      lora_alpha: 8
    tokenizer: {_component_: torchtune.models.llama3.llama3_tokenizer, max_seq_len: 256}
    checkpointer:
      _component_: torchtune.training.FullModelHFCheckpointer
      checkpoint_dir: /models/llama/
      output_dir: ${output_dir}
    dataset:
      _component_: torchtune.datasets.chat_dataset
      source: json
      data_files: rows.json
      conversation_style: sharegpt
      packed: True
    epochs: 2
    max_steps_per_epoch: 30
    batch_size: 3
    gradient_accumulation_steps: 2
    optimizer: {_component_: torch.optim.AdamW, lr: 3e-4, weight_decay: 0.01, betas: [0.9, 0.95]}
    lr_scheduler:
      _component_: torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup
      num_warmup_steps: 5
    clip_grad_norm: null
    dtype: fp32
    device: cuda
    enable_activation_checkpointing: False
    log_every_n_steps: 1
    profiler: {_component_: torchtune.training.setup_torch_profiler, enabled: False, cpu: True}
    """

  @Test func torchtune() throws {
    let imported = try load(Self.torchtune)
    #expect(imported.tool == .torchtune)
    expect(
      imported,
      [
        ("model.path", #""/models/llama/""#), ("model.quantization.type", #""nf4""#),
        ("model.computeDType", #""float32""#), ("output", #""runs/tune""#),
        ("adapter.targets", #"["q_proj","o_proj","gate_proj","up_proj","down_proj"]"#),
        ("data.train.0.path", #""rows.json""#), ("data.train.0.format", #""sharegpt""#),
        ("data.maxTokens", "256"), ("data.packing", "true"), ("training.steps", "60"),
        ("training.optimizer.type", #""adamw""#), ("training.optimizer.beta2", "0.95"),
        ("training.schedule.type", #""cosine""#), ("training.schedule.warmupSteps", "5"),
        ("training.maxGradientNorm", "0"), ("training.activationMemory", #""none""#),
      ])
    #expect(note(imported, "profiler")?.fate == .left)
    #expect(imported.count(.differs) == 0)
  }

  @Test func llamaFactory() throws {
    let imported = try load(
      """
      model_name_or_path: /models/qwen
      quantization_bit: 4
      stage: sft
      finetuning_type: lora
      lora_target: q_proj, v_proj
      use_rslora: true
      lora_rank: 16
      lora_alpha: 8
      dataset: mine,yours
      max_samples: 100
      mask_history: true
      disable_shuffling: true
      num_train_epochs: 2.5
      optim: lion_8bit
      adam_epsilon: 1.0e-6
      lr_scheduler_type: constant_with_warmup
      eval_strategy: epoch
      """)
    #expect(imported.tool == .llamaFactory)
    expect(
      imported,
      [
        ("model.quantization.type", #""nf4""#), ("adapter.targets", #"["q_proj","v_proj"]"#),
        ("adapter.alpha", "32.0"), ("data.train.1.path", #""yours.json""#),
        ("data.train.0.limit", "100"), ("data.trainOn", #""last-assistant""#),
        ("data.shuffle", "false"), ("data.maxTokens", "2048"), ("training.epochs", "3"),
        ("training.optimizer.type", #""lion8bit""#), ("training.schedule.type", #""constant""#),
        ("training.batchSize", "8"), ("training.seed", "42"),
        ("training.schedule.warmupSteps", "0"),
      ])
    #expect(value(imported, "training.optimizer.epsilon") == nil)
    #expect(note(imported, "adam_epsilon")?.reason == "it means nothing to lion8bit")
    #expect(note(imported, "num_train_epochs")?.fate == .changed)
  }

  @Test func peftAdapter() throws {
    let imported = try load(
      #"""
      {"peft_type": "LORA", "base_model_name_or_path": "m", "r": 4, "lora_alpha": 2,
       "lora_dropout": 0.0, "target_modules": ["v_proj", "q_proj"], "use_rslora": false,
       "use_dora": true, "bias": "none", "rank_pattern": {}, "layers_to_transform": null}
      """#)
    #expect(imported.tool == .peft)
    expect(
      imported,
      [
        ("adapter.rank", "4"), ("adapter.targets", #"["v_proj","q_proj"]"#),
        ("data.train.0.path", #""train.jsonl""#),
      ])
    #expect(imported.notes.contains { $0.fate == .missing && $0.path == "data.train" })
    #expect(note(imported, "use_dora")?.fate == .left && note(imported, "bias") == nil)
  }

  @Test(arguments: [
    ("base_model: m\nrl: dpo\nadapter: lora", "rl"), ("base_model: m", "adapter"),
    ("model_name_or_path: m\nstage: rm", "stage"),
    ("model_name_or_path: m\nfinetuning_type: full", "finetuning_type"),
    ("model: {_component_: torchtune.models.llama2.llama2_7b}", "model._component_"),
  ])
  func anotherRunIsSaidFirst(text: String, key: String) throws {
    let imported = try load(text)
    #expect(note(imported, key)?.fate == .differs)
    #expect(
      imported.report.hasPrefix("The recipe is another run than this configuration:\n  \(key)"))
  }

  /// Whatever the tool calls modules that are trained whole, and however it lists them.
  @Test(arguments: [
    "base_model: m\nadapter: lora\nlora_modules_to_save: [embed_tokens, lm_head]",
    "model_name_or_path: m\nstage: sft\nadditional_target: embed_tokens, lm_head",
    #"{"peft_type": "LORA", "r": 4, "modules_to_save": ["embed_tokens", "lm_head"]}"#,
  ])
  func modulesToSaveAreTaken(_ text: String) throws {
    expect(try load(text), [("adapter.modulesToSave", #"["embed_tokens","lm_head"]"#)])
  }

  @Test func headsOfClassifiersAreNotModulesOfALanguageModel() throws {
    let imported = try load(
      #"{"peft_type": "LORA", "r": 4, "task_type": "SEQ_CLS", "modules_to_save": ["score"]}"#)
    #expect(value(imported, "adapter.modulesToSave") == nil)
    #expect(note(imported, "modules_to_save")?.fate == .left)
  }

  /// A value that a recipe would refuse is left out with the recipe's own words.
  @Test func whatDoesNotFitIsLeftOut() throws {
    let imported = try load("base_model: m\nadapter: lora\nlora_r: 0\nseed: many")
    #expect(note(imported, "lora_r")?.reason == "adapter.rank must be an integer from 1 to 65536")
    #expect(note(imported, "seed")?.fate == .left)
    #expect(value(imported, "adapter.rank") == nil)
  }

  @Test func everyKeyIsAccountedFor() throws {
    for (text, silent) in [(Self.axolotl, ["wandb_name"]), (Self.torchtune, ["clip_grad_norm"])] {
      let imported = try load(text)
      let told = Set(imported.notes.map { String($0.key.prefix { $0 != "." }) })
      let keys = text.split(separator: "\n").filter { $0.first?.isLetter == true }
        .map { String($0.prefix { $0 != ":" }) }
      // Sections whose every key is needless here, and flags that another key makes needless.
      for key in keys where !silent.contains(key) && key != "tokenizer" {
        #expect(told.contains(key), "\(key)")
      }
    }
  }

  @Test func unknownToolsAreRefused() throws {
    let problem = try #require(throws: Diagnostic.self) { try load("a: 1") }
    #expect(problem.code.number == "E0122")
    #expect(try load("lora_r: 8", from: .axolotl).tool == .axolotl)
  }
}
