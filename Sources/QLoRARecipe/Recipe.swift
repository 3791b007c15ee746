// What a user asks for, as plain values: which model, which adapter, which rows, how to train. It
// opens no file and builds no object; QLoRAPipeline does both from a ResolvedRecipe.

/// A whole fine-tuning run. Every property's starting value is the documented default.
package struct Recipe: Sendable, Equatable {
  /// Empty until the loader names the recipe after its file.
  package var name = ""
  package var task = Task.language
  package var model = Model()
  package var adapter = Adapter()
  package var data = Data()
  package var image = Image()
  package var training = Training()
  package var device = "auto"
  package var maxMemory = MaxMemory()
  /// 0 means all cores.
  package var threads = 0
  /// Empty until the loader sets `runs/<name>`.
  package var output = ""
  /// Digests that the inputs must have, by role (`model`, `tokenizer`, …); a run's resolved recipe
  /// records them, a user may pin them.
  package var digests: [String: String] = [:]

  package init() {}
}

extension Recipe {
  /// What a run may take of the memory of each device.
  package struct MaxMemory: Sendable, Equatable {
    /// Bytes; nil is what there is.
    package var cpu: Int? {
      get { size?.bytes }
      set { size = newValue.map { ByteSize(bytes: $0) } }
    }
    var size: ByteSize?

    package init() {}
  }

  /// A number of bytes that is written as `3GiB`.
  package struct ByteSize: Sendable, Equatable {
    package var bytes: Int
  }

  /// The frozen base model and how it is held in memory.
  package struct Model: Sendable, Equatable {
    package var path = ""
    package var quantization = Quantization()
    package var computeDType = "bfloat16"

    package init() {}
  }

  package struct Quantization: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable { case nf4, fp4, int8, none }

    package var type = Kind.nf4
    package var blocksize = 64
    package var doubleQuant = true
    /// Magnitude from which activations are outliers to 8-bit weights.
    package var threshold = 6.0
    /// Names of linears (or patterns of them) that stay unquantized.
    package var skip: [String] = []

    package init() {}
  }

  /// The trained part.
  package struct Adapter: Sendable, Equatable {
    package var type = "lora"
    package var rank = 16
    package var alpha = 32.0
    package var dropout = 0.0
    package var targets = Targets.allLinear
    /// A PEFT adapter folder whose weights training begins with.
    package var initializeFrom: String?
    /// Modules that are trained as a whole; empty is what the task needs.
    package var modulesToSave: [String] = []

    package init() {}
  }

  /// Which linears get an adapter.
  package enum Targets: Sendable, Equatable {
    /// Every linear of the decoder blocks; not the embedding, not the head.
    case allLinear
    /// A regular expression that must match a linear's whole name.
    case pattern(String)
    /// Last parts of names, such as `q_proj`.
    case names([String])
  }

  package struct Data: Sendable, Equatable {
    package enum OverLength: String, Sendable, CaseIterable { case truncate, drop, error }

    /// Which of a conversation's messages are trained.
    package enum TrainOn: String, Sendable, CaseIterable {
      case allAssistant = "all-assistant"
      case lastAssistant = "last-assistant"
    }

    package var train: [Source] = []
    package var validation: [Source] = []
    /// The part of the training rows that is set aside where `validation` names no file.
    package var validationSplit = 0.0
    package var maxTokens = 512
    package var packing = true
    package var shuffle = true
    package var overLength = OverLength.truncate
    package var trainOn = TrainOn.allAssistant
    /// Names of the classes in their order; empty takes the labels of the training rows.
    package var labels: [String] = []

    package init() {}
  }

  /// One file of rows.
  package struct Source: Sendable, Equatable {
    package var path = ""
    package var format = RowFormat.messages
    /// How often an epoch sees each row.
    package var weight = 1.0
    /// Rows that are read; nil reads all.
    package var limit: Int?

    package init() {}

    package init(path: String, format: RowFormat = .messages) {
      self.path = path
      self.format = format
    }
  }

  package enum RowFormat: String, Sendable, CaseIterable {
    case messages, sharegpt, alpaca
    case promptCompletion = "prompt-completion"
    case text, classification
    /// A folder of cached latents and prompts.
    case latents
  }
}
