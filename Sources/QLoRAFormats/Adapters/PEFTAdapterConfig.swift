// adapter_config.json of PEFT: the members that decide how a LoRA adapter is applied, read
// leniently and written in full. It does not hold tensors.
import QLoRADiagnostics
import QLoRAJSON

/// The configuration of a LoRA adapter as PEFT keeps it.
package struct PEFTAdapterConfig: Sendable, Equatable {
  /// Which modules carry an adapter.
  package enum Targets: Sendable, Equatable {
    /// Exact names or suffixes after a dot.
    case list([String])
    /// A regular expression for whole names, or `all-linear`.
    case pattern(String)
  }

  package var baseModel: String?
  package var rank: Int
  package var alpha: Double
  package var dropout: Double
  package var targets: Targets
  package var usesRankStabilizedScale: Bool
  package var bias: String
  package var modulesToSave: [String]
  /// Module pattern to rank, and to alpha, where they differ.
  package var rankPattern: [String: Int]
  package var alphaPattern: [String: Double]
  package var layersToTransform: [Int]?
  package var layersPattern: String?
  package var taskType: String?
  /// Whether a trained embedding stays tied to the head; such a file is read and never written.
  package var ensuresWeightTying = false
  /// Whether modules are left out of `targets`; such a file is read and never written.
  package var excludesModules = false

  package static let fileName = "adapter_config.json"
  /// The release of PEFT whose set of keys is written.
  package static let peftVersion = "0.21.2"

  package init(
    baseModel: String?, rank: Int, alpha: Double, dropout: Double = 0, targets: Targets,
    usesRankStabilizedScale: Bool = false, bias: String = "none",
    modulesToSave: [String] = [], rankPattern: [String: Int] = [:],
    alphaPattern: [String: Double] = [:], layersToTransform: [Int]? = nil,
    layersPattern: String? = nil, taskType: String? = "CAUSAL_LM"
  ) {
    self.baseModel = baseModel
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    self.targets = targets
    self.usesRankStabilizedScale = usesRankStabilizedScale
    self.bias = bias
    self.modulesToSave = modulesToSave
    self.rankPattern = rankPattern
    self.alphaPattern = alphaPattern
    self.layersToTransform = layersToTransform
    self.layersPattern = layersPattern
    self.taskType = taskType
  }
}

extension PEFTAdapterConfig {
  /// PEFT's word for a model that tells classes apart.
  package static let classification = "SEQ_CLS"
  /// The same for a model that reads one text and writes another.
  package static let readingAndWriting = "SEQ_2_SEQ_LM"

  /// Whether a tensor of the model, such as `classifier.weight`, is saved whole, and is no half of
  /// an adapter: it lies in a module whose name ends as `modules_to_save` says. With tied weights
  /// the head comes along with its embedding.
  func saves(_ name: String) -> Bool {
    let parts = name.split(separator: ".")
    guard !parts.contains(where: { $0 == "lora_A" || $0 == "lora_B" }) else { return false }
    if ensuresWeightTying, !modulesToSave.isEmpty, name == "lm_head.weight" { return true }
    let holders = parts.indices.map { parts[...$0].joined(separator: ".") }.dropLast()
    return modulesToSave.contains { module in
      !module.isEmpty && holders.contains { $0.hasSuffix(module) }
    }
  }

  /// The bytes of the file, as Python's `json.dumps(indent=2, sort_keys=True)` spells them.
  package func fileText() -> String {
    let sorted = members().sorted { $0.0 < $1.0 }
    return JSONWriter.text(.dictionary(sorted), style: .indented, escapesNonASCII: true)
  }

  private func members() -> [(String, JSONValue)] {
    let absent = [
      "alora_invocation_tokens", "arrow_config", "auto_mapping", "corda_config", "eva_config",
      "exclude_modules", "kasa_config", "layer_replication", "lora_ga_config", "megatron_config",
      "monteclora_config", "revision", "target_parameters", "trainable_token_indices",
      "use_bdlora", "velora_config",
    ].map { ($0, JSONValue.null) }
    let fixed: [(String, JSONValue)] = [
      ("ensure_weight_tying", .bool(false)), ("fan_in_fan_out", .bool(false)),
      ("inference_mode", .bool(true)), ("init_lora_weights", .bool(true)),
      ("loftq_config", .dictionary([])), ("lora_bias", .bool(false)),
      ("megatron_core", .string("megatron.core")), ("peft_type", .string("LORA")),
      ("peft_version", .string(Self.peftVersion)), ("qalora_group_size", .int(16)),
      ("use_dora", .bool(false)), ("use_qalora", .bool(false)),
    ]
    let ranks = rankPattern.sorted { $0.key < $1.key }.map { ($0.key, JSONValue.int($0.value)) }
    let alphas = alphaPattern.sorted { $0.key < $1.key }.map { ($0.key, Self.number($0.value)) }
    let chosen: [(String, JSONValue)] = [
      ("alpha_pattern", .dictionary(alphas)),
      ("base_model_name_or_path", baseModel.map { .string($0) } ?? .null),
      ("bias", .string(bias)),
      ("layers_pattern", layersPattern.map { .string($0) } ?? .null),
      ("layers_to_transform", layersToTransform.map { .list($0.map { .int($0) }) } ?? .null),
      ("lora_alpha", Self.number(alpha)),
      ("lora_dropout", .double(dropout)),
      (
        "modules_to_save",
        modulesToSave.isEmpty ? .null : .list(modulesToSave.sorted().map { .string($0) })
      ),
      ("r", .int(rank)),
      ("rank_pattern", .dictionary(ranks)),
      ("target_modules", Self.value(targets)),
      ("task_type", taskType.map { .string($0) } ?? .null),
      ("use_rslora", .bool(usesRankStabilizedScale)),
    ]
    return absent + fixed + chosen
  }

  /// Alpha is an integer for PEFT wherever it can be one.
  private static func number(_ value: Double) -> JSONValue {
    Int(exactly: value).map { .int($0) } ?? .double(value)
  }

  private static func value(_ targets: Targets) -> JSONValue {
    switch targets {
    case .list(let names): .list(names.sorted().map { .string($0) })
    case .pattern(let pattern): .string(pattern)
    }
  }
}
