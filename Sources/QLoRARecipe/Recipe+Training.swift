// The `training` section of a recipe as plain values; the trainer itself is QLoRATraining's.

extension Recipe {
  package struct Training: Sendable, Equatable {
    package var duration = Duration.epochs(1)
    /// Sequences (packed or single rows) in a micro-batch.
    package var batchSize = 4
    package var gradientAccumulation = 1
    package var optimizer = Optimizer()
    package var schedule = Schedule()
    /// 0 switches clipping off.
    package var maxGradientNorm = 1.0
    package var onNonFinite = OnNonFinite.halt
    /// How many steps of a run may be skipped or rolled back; without meaning to `halt`.
    package var maxNonFinite = 3
    package var activationMemory = ActivationMemory.none
    package var seed = 0
    /// Of the noise on embedded tokens; 0 means none.
    package var neftuneAlpha = 0.0
    /// Optimizer steps between evaluations; 0 means only at the end.
    package var evalEvery = 50
    package var saveEvery = 50
    /// How many checkpoints stay on disk.
    package var keep = 2
    /// Optimizer steps between progress lines where stderr is not a terminal.
    package var logEvery = 10
    /// Validation prompts that are answered at the end, by the base and by the trained model.
    package var samples = Self.defaultSamples
    /// nil means as long as it takes.
    package var maxWallTime: WallTime?

    static let defaultSamples = 2

    package init() {}

    package var epochs: Int? {
      get { if case .epochs(let count) = duration { count } else { nil } }
      set { if let newValue { duration = .epochs(newValue) } }
    }

    package var steps: Int? {
      get { if case .steps(let count) = duration { count } else { nil } }
      set { if let newValue { duration = .steps(newValue) } }
    }
  }

  /// How long to train: passes over the rows, or optimizer steps through as many as it takes.
  package enum Duration: Sendable, Equatable {
    case epochs(Int)
    case steps(Int)
  }

  package struct Optimizer: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
      case adamw, adamw8bit, pagedadamw, pagedadamw8bit, lion, lion8bit, pagedlion, pagedlion8bit
      case sgd

      /// Whether the states lie on the disk.
      package var isPaged: Bool { rawValue.hasPrefix("paged") }
      /// Whether the states are held in 8 bits.
      package var isBlockwise: Bool { rawValue.hasSuffix("8bit") }
      fileprivate var isAdamW: Bool { rawValue.contains("adamw") }
    }

    package var type = Kind.adamw
    package var learningRate = 2e-4
    package var beta1 = 0.9
    package var beta2 = 0.999
    package var epsilon = 1e-8
    /// Of `sgd` alone.
    package var momentum = 0.0
    package var weightDecay = 0.0

    package init() {}

    /// Keys that not every type has.
    static let particularKeys = ["beta1", "beta2", "epsilon", "momentum"]

    /// Whether a key means something to this type.
    package func takes(_ key: String) -> Bool {
      switch key {
      case "beta1", "beta2": type != .sgd
      case "epsilon": type.isAdamW
      case "momentum": type == .sgd
      default: true
      }
    }
  }

  package struct Schedule: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable { case constant, linear, cosine }

    package var type = Kind.cosine
    package var warmupSteps = 10

    package init() {}
  }

  /// What becomes of a step whose loss or gradient is not a finite number.
  package enum OnNonFinite: String, Sendable, CaseIterable { case halt, skip, rollback }

  /// A stretch of time such as `3h50m`.
  package struct WallTime: Sendable, Equatable {
    /// At least 1.
    package var seconds: Int

    package init(seconds: Int) { self.seconds = seconds }
  }

  /// How much of the forward pass is kept for the backward pass.
  package enum ActivationMemory: Sendable, Equatable {
    /// Keep everything, recompute nothing.
    case none
    /// Recompute every block.
    case full
    /// The same, and let what each block keeps wait in the host's memory, where a GPU computes.
    case host
    /// Keep as many blocks' activations as fit into so many bytes.
    case budget(bytes: Int)
  }
}
