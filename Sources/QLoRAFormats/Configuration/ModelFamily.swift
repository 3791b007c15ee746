// The families of models that can be run, as config.json and GGUF call them.

/// A kind of decoder or encoder; the raw value is `model_type` of config.json.
package enum ModelFamily: String, Sendable, Hashable, CaseIterable {
  case llama, mistral, qwen2, qwen3, gemma, gemma2
  case gemma3 = "gemma3_text"
  case phi3, smollm3, granite, olmo2, olmo3, stablelm
  case gptNeoX = "gpt_neox"
  case gpt2
  case qwen3Moe = "qwen3_moe"
  case mixtral, olmoe
  case seedOSS = "seed_oss"
  case starcoder2, exaone4, glm4
  case ernie45 = "ernie4_5"
  case cohere, cohere2
  case bert, roberta, distilbert
  case t5

  /// Whether tokens see those after them too: such a model predicts no next token, and is run to
  /// tell classes apart.
  package var isEncoder: Bool { [.bert, .roberta, .distilbert].contains(self) }

  /// Whether one stack of blocks reads a text and another writes what follows from it.
  package var readsAndWrites: Bool { self == .t5 }

  /// `general.architecture` of GGUF. Some share one, as llama.cpp has them.
  package var ggufArchitecture: String {
    switch self {
    case .llama, .mistral, .mixtral: "llama"
    case .gemma3: "gemma3"
    case .olmo3: "olmo2"
    case .gptNeoX: "gptneox"
    case .cohere: "command-r"
    case .qwen3Moe: "qwen3moe"
    default: rawValue
    }
  }

  /// The class of transformers that holds such a model.
  package var className: String {
    switch self {
    case .gpt2: "GPT2LMHeadModel"
    case .bert, .roberta, .distilbert: classStem + "Model"
    case .t5: "T5ForConditionalGeneration"
    default: classStem + "ForCausalLM"
    }
  }

  /// The class that holds it with a head for classes; nil where transformers has none.
  package var classifierClassName: String? {
    switch self {
    case .granite, .t5, .olmoe, .ernie45, .cohere, .cohere2: nil
    case .gemma3: "Gemma3TextForSequenceClassification"
    default: classStem + "ForSequenceClassification"
    }
  }

  private var classStem: String {
    switch self {
    case .llama: "Llama"
    case .mistral: "Mistral"
    case .qwen2: "Qwen2"
    case .qwen3: "Qwen3"
    case .gemma: "Gemma"
    case .gemma2: "Gemma2"
    case .gemma3: "Gemma3"
    case .phi3: "Phi3"
    case .smollm3: "SmolLM3"
    case .granite: "Granite"
    case .olmo2: "Olmo2"
    case .olmo3: "Olmo3"
    case .stablelm: "StableLm"
    case .gptNeoX: "GPTNeoX"
    case .gpt2: "GPT2"
    case .qwen3Moe: "Qwen3Moe"
    case .mixtral: "Mixtral"
    case .olmoe: "Olmoe"
    case .seedOSS: "SeedOss"
    case .starcoder2: "Starcoder2"
    case .exaone4: "Exaone4"
    case .glm4: "Glm4"
    case .ernie45: "Ernie4_5"
    case .cohere: "Cohere"
    case .cohere2: "Cohere2"
    case .bert: "Bert"
    case .roberta: "Roberta"
    case .distilbert: "DistilBert"
    case .t5: "T5"
    }
  }

  /// Whether files keep the weights of linears as `[in, out]`.
  package var isTransposed: Bool { self == .gpt2 }

  /// Whether converters to GGUF put the rows of a rotary pair side by side.
  package var permutesHeads: Bool {
    switch self {
    case .llama, .mistral, .mixtral, .smollm3, .granite: true
    default: false
    }
  }

  /// Whether queries may share keys and values.
  package var groupsQueries: Bool { !isEncoder && ![.gptNeoX, .gpt2, .t5].contains(self) }

  package var isGemma: Bool { [.gemma, .gemma2, .gemma3].contains(self) }
}

// MARK: What is nearest to an unknown one
extension ModelFamily {
  /// Keys of config.json that few families have, and whose presence says what a model is built of.
  /// What to do about an unknown one.
  static let remedy =
    "Docs/Models.md lists the families, Docs/HowTo/add-an-architecture.md tells how one is added"

  private static let marks: [(key: String, families: [ModelFamily])] = [
    ("num_experts", [.qwen3Moe]), ("num_local_experts", [.mixtral]),
    ("attn_logit_softcapping", [.gemma2]), ("query_pre_attn_scalar", [.gemma2, .gemma3]),
    ("no_rope_layers", [.smollm3]), ("residual_multiplier", [.granite]),
    ("type_vocab_size", [.bert, .roberta]), ("relative_attention_num_buckets", [.t5]),
    ("use_parallel_residual", [.gptNeoX, .stablelm]), ("rotary_pct", [.gptNeoX]),
    ("n_embd", [.gpt2]), ("sinusoidal_pos_embds", [.distilbert]),
    ("layer_norm_eps", [.gptNeoX, .stablelm]), ("partial_rotary_factor", [.stablelm, .phi3]),
    ("original_max_position_embeddings", [.phi3]), ("use_sliding_window", [.qwen2, .qwen3]),
    ("sliding_window", [.mistral, .gemma2, .gemma3, .phi3]), ("rms_norm_eps", [.llama]),
  ]

  /// The family whose name is nearest and whose keys are the most alike.
  ///
  /// - Parameters:
  ///   - name: an unknown `model_type`.
  ///   - keys: of its config.json.
  package static func nearest(to name: String, keys: Set<String>) -> ModelFamily {
    let marked = marks.filter { keys.contains($0.key) }.flatMap(\.families)
    func score(_ family: ModelFamily) -> Double {
      let longest = Double(max(1, name.count, family.rawValue.count))
      let likeness = 1 - Double(distance(name, family.rawValue)) / longest
      // A name that begins like another's is a newer member of it.
      let stem = family.rawValue.prefix { $0.isLetter }
      return 2 * likeness + (name.hasPrefix(stem) ? 1 : 0)
        + 0.5 * Double(marked.count { $0 == family })
    }
    return allCases.max { score($0) < score($1) } ?? .llama
  }

  /// Letters to put in, to take out or to change. Source: Wagner & Fischer 1974, algorithm X.
  private static func distance(_ left: String, _ right: String) -> Int {
    var row = Array(0...right.count)
    for (index, letter) in left.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for (column, other) in right.enumerated() {
        let change = diagonal + (letter == other ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = min(change, row[column] + 1, diagonal + 1)
      }
    }
    return row[right.count]
  }
}
