// The public face of the framework: what each command does, as a function.

import QLoRACPU
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRAReport
import QLoRASystem
import QLoRATensor
import QLoRATraining

package enum Pipeline {}

/// Which model a command is to run, as its user said it.
package struct BaseOptions {
  package var model: String
  package var adapter: String?
  /// `nf4`, `fp4`, `int8`, `none`, or nil: as the adapter was trained, and `none` for a bare model.
  package var quantization: String?
  /// nil: as the adapter was trained, else float32.
  package var computeDType: String?
  package var threads: Int
  /// As in `ModelRequest`.
  package var maxMemory: Int?
  /// Where quantized bases are kept; nil: nowhere.
  package var cache: WeightCache?
  /// `cpu`, `cuda`, or `auto` for a GPU that has room, else the CPU.
  package var device: String
  /// Is told in a line what `auto` took, where there was a choice, and what is not as it seems.
  package var note: (String) -> Void

  package init(
    model: String, adapter: String?, quantization: String?, computeDType: String?, threads: Int,
    maxMemory: Int? = nil, cache: WeightCache? = nil, device: String = "cpu",
    note: @escaping (String) -> Void = { _ in }
  ) {
    self.model = model
    self.adapter = adapter
    self.quantization = quantization
    self.computeDType = computeDType
    self.threads = threads
    self.maxMemory = maxMemory
    self.cache = cache
    self.device = device
    self.note = note
  }

  /// - Throws: what a GPU lacks that is asked for.
  func request(_ load: LoadOptions) throws -> InferenceRequest {
    let isOpen = device == "auto"
    let (device, problem) =
      isOpen ? ComputeDevice.open() : (try ComputeDevice.choose(device), nil)
    return InferenceRequest(
      model: ModelRequest(
        path: model, load: load, threads: threads, maxMemory: maxMemory, device: device),
      isOpen: isOpen, problem: problem, note: note)
  }
}

/// How a training command ended.
package struct RunOutcome: Sendable {
  package var runDirectory: String
  package var step: Int
  package var adapterPath: String?
  package var lastLoss: Double?
  package var evalLoss: Double?
  package var interrupted: Bool
}

// MARK: Training
extension Pipeline {
  /// Starts a run; see `TrainingRun.start`.
  package static func train(
    _ resolved: ResolvedRecipe, cache: WeightCache? = nil,
    on machine: MachineMemory = MachineMemory(), interruption: (() -> Int32?)? = nil,
    secondsLeft: Double? = nil, fileSystem: any FileSystem = PosixFileSystem(),
    events: @escaping (RunEvent) -> Void
  ) throws -> RunOutcome {
    try watched(events) {
      try TrainingRun.start(
        resolved, cache: cache, on: machine, interruption: interruption, secondsLeft: secondsLeft,
        fileSystem: fileSystem, events: $0)
    }
  }

  /// Continues a run; see `TrainingRun.resume`.
  package static func resume(
    runDirectory: String, moved: [RecipeOverride] = [], cache: WeightCache? = nil,
    on machine: MachineMemory = MachineMemory(), interruption: (() -> Int32?)? = nil,
    secondsLeft: Double? = nil, events: @escaping (RunEvent) -> Void
  ) throws -> RunOutcome {
    try watched(events) {
      try TrainingRun.resume(
        runDirectory, moved: moved, cache: cache, on: machine, interruption: interruption,
        secondsLeft: secondsLeft, events: $0)
    }
  }

  /// Runs `body` and remembers the last losses that it reported.
  private static func watched(
    _ events: @escaping (RunEvent) -> Void,
    _ body: (@escaping (RunEvent) -> Void) throws -> RunResult
  ) throws -> RunOutcome {
    var lastLoss: Double?
    var evalLoss: Double?
    let result = try body { event in
      if case .training(.step(let metrics)) = event { lastLoss = metrics.loss }
      if case .training(.evaluation(let metrics)) = event { evalLoss = metrics.loss }
      events(event)
    }
    let (step, interrupted) =
      switch result.outcome {
      case .finished(let step): (step, false)
      case .interrupted(let step, _, _): (step, true)
      }
    return RunOutcome(
      runDirectory: result.output, step: step, adapterPath: result.adapterPath,
      lastLoss: lastLoss, evalLoss: evalLoss, interrupted: interrupted)
  }

  /// The first `count` sequences of a run in training order. Writes nothing and loads no weights.
  package static func preview(_ resolved: ResolvedRecipe, count: Int) throws -> PreviewReport {
    try resolved.requireLanguage("preview")
    let recipe = try resolved.withLabels().recipe
    let text = try ModelText(try ModelSource.open(recipe.model.path))
    let data = try RunData(recipe, text: text, keepsOrigins: true)
    let plan = BatchPlan(rows: data.train, settings: recipe.batchSettings)
    return try PreviewReport(
      name: recipe.name, sources: recipe.data.train.map { FilePath.lastComponent(of: $0.path) },
      lines: plan.preview(count), rows: data.train, report: data.report,
      maxTokens: recipe.data.maxTokens, tokenizer: text.tokenizer, labels: recipe.data.labels)
  }
}

// MARK: Using a model
extension Pipeline {
  /// A base model with its adapter applied, held as the user said, or as the adapter was trained.
  package static func load(
    _ base: BaseOptions, progress: @escaping (Double) -> Void = { _ in }
  ) throws -> LoadedModel {
    let adapter = try base.adapter.map(AdapterFolder.open)
    guard adapter?.labels == nil else {
      throw Diagnostic(
        .taskUnsupported,
        "the adapter tells classes apart, and this command needs a language model",
        at: base.adapter.map { .file($0) },
        remedy: "use it with `qlora classify`, or with `qlora eval --format classification`")
    }
    let loaded = try LoadedModel.load(
      try base.request(heldOptions(base, trained: adapter?.load)),
      cache: base.cache, adapterBytes: adapter?.adapter.memoryBytes ?? 0, progress: progress)
    if let adapter { try loaded.model.addAdapters(adapter.adapter) }
    return loaded
  }

  /// As the user said, else as the adapter was trained.
  static func loadOptions(_ base: BaseOptions, trained: LoadOptions?) -> LoadOptions {
    var options = trained ?? LoadOptions(quantization: nil, computeDType: .float32)
    if let word = base.quantization {
      // A type on the command line means its defaults, unless the adapter was trained so.
      let wanted = WeightQuantization(word: word)
      if wanted == nil || options.quantization?.word != word { options.quantization = wanted }
    }
    if let word = base.computeDType, let dtype = DType(rawValue: word) {
      options.computeDType = dtype
    }
    return options
  }

  package static func evaluate(
    _ base: BaseOptions, _ request: EvaluationRequest, progress: (Int, Int) -> Void
  ) throws -> EvaluationReport {
    if let path = request.tokensPath { try requireAbsent(path) }
    return try Evaluator(try load(base)).evaluate(request, progress: progress)
  }

  package static func generate(
    _ base: BaseOptions, _ options: GenerationOptions, emit: (String) -> Void
  ) throws -> GenerationReport {
    try Generator(try load(base)).generate(options, emit: emit)
  }
}

extension PEFTAdapter {
  /// On a model: its values, and as many bytes of gradients.
  var memoryBytes: Int {
    let halves = pairs.reduce(0) { $0 + $1.a.count + $1.b.count }
    return 2 * (halves + saved.reduce(0) { $0 + $1.tensor.count }) * DType.float32.byteSize
  }
}
