// A base model ready to run: weights in the backend, tokenizer, chat template, end tokens.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor
import QLoRAText

/// Which model to load and how to hold it.
package struct ModelRequest: Sendable {
  package var path: String
  package var load: LoadOptions
  /// 0 = all cores.
  package var threads: Int
  /// Whether products with 4-bit weights are computed in 16-bit integers.
  package var usesInt16: Bool
  /// Bytes that the process may take in all; layers that do not fit wait on the disk. nil: what the
  /// machine has.
  package var maxMemory: Int?
  package var device: ComputeDevice
  /// What operations on a GPU will borrow at most; nil where nobody has planned that.
  var poolBytes: Int?
  /// What weights may take of a GPU's memory; those that follow wait in the host's. nil: all.
  var deviceWeightBytes: Int?

  package init(
    path: String, load: LoadOptions = LoadOptions(), threads: Int = 0, usesInt16: Bool = false,
    maxMemory: Int? = nil, device: ComputeDevice = .cpu
  ) {
    self.path = path
    self.load = load
    self.threads = threads
    self.usesInt16 = usesInt16
    self.maxMemory = maxMemory
    self.device = device
  }
}

package struct LoadedModel {
  package let source: ModelSource
  package let model: DecoderModel
  package let text: ModelText

  /// For evaluation and generation.
  ///
  /// - Parameters:
  ///   - cache: where the quantized base may be found, or is kept for the next time.
  ///   - adapterBytes: what an adapter is going to take beside the model.
  /// - Throws: diagnostics for missing or damaged files (exit codes 65 and 66), and for a
  ///   `maxMemory` or a GPU's memory that is too small (81).
  static func load(
    _ request: InferenceRequest, cache: WeightCache? = nil, adapterBytes: Int = 0,
    on machine: MachineMemory = MachineMemory(), progress: @escaping (Double) -> Void = { _ in }
  ) throws -> LoadedModel {
    let source = try ModelSource.open(request.model.path)
    for warning in source.warnings { request.note("warning: \(warning)") }
    let text = try ModelText(source)
    let (chosen, layout) = try request.placed(source, adapterBytes: adapterBytes, on: machine)
    return try load(
      chosen, source, text, layout: layout, scratchFolder: InferenceMemory.scratchFolder,
      cache: cache, progress: progress)
  }

  /// The same on the device that the request names.
  package static func load(
    _ request: ModelRequest, cache: WeightCache? = nil, adapterBytes: Int = 0,
    on machine: MachineMemory = MachineMemory(), progress: @escaping (Double) -> Void = { _ in }
  ) throws -> LoadedModel {
    try load(
      InferenceRequest(model: request), cache: cache, adapterBytes: adapterBytes, on: machine,
      progress: progress)
  }

  /// The same for a model that is open already.
  ///
  /// - Parameters:
  ///   - content: of the model's files, where it is known.
  ///   - scratchFolder: for layers that stay on the disk and that no cache keeps.
  static func load(
    _ request: ModelRequest, _ source: ModelSource, _ text: ModelText, content: Digest? = nil,
    layout: WeightLayout, scratchFolder: String, cache: WeightCache?,
    progress: @escaping (Double) throws -> Void
  ) throws -> LoadedModel {
    let backend = try Backends.make(request)
    let shelf = try cache?.shelf(
      for: source, content: content, options: request.load, backend: backend)
    if layout.placement.usesDisk {
      let model = try PlacedLoad(
        source: source, backend: backend, options: request.load, layout: layout, shelf: shelf,
        scratchFolder: scratchFolder, progress: progress
      ).load()
      return LoadedModel(source: source, model: model, text: text)
    }
    let prepared = shelf?.base()?.weights ?? [:]
    let model = try ModelLoader(
      source, backend: backend, options: request.load, prepared: prepared, progress: progress
    ).load()
    if prepared.isEmpty { shelf?.keep(model) }
    return LoadedModel(source: source, model: model, text: text)
  }
}

/// A model's tokenizer and template, which need no weights.
package struct ModelText: Sendable {
  package let tokenizer: Tokenizer
  /// nil where the model brings none; then only `text` and `prompt-completion` rows work.
  package let template: ChatTemplate?
  /// Tokens after which generation ends.
  package let endTokens: Set<Int32>
  /// The most tokens that the model has positions for; nil where there is no such number.
  package let positionLimit: Int?
  /// What an answer begins behind where a model reads prompts apart from what it writes; else nil.
  package let answerStart: Int32?

  package init(_ source: ModelSource) throws {
    switch source.origin {
    case .folder(let folder): tokenizer = try Tokenizer.load(folder: folder)
    case .gguf(let file): tokenizer = try Tokenizer(gguf: GGUFVocabulary(file))
    case .random(let name):
      throw Diagnostic(.vocabularyMissing, "random weights have no tokenizer", at: .file(name))
    }
    positionLimit = source.config.positionLimit
    answerStart = source.config.form.reader.map { Int32($0.startToken) }
    let tokenizer = tokenizer
    guard tokenizer.vocabularyCount <= source.config.vocabularySize else {
      throw Diagnostic(
        .vocabularyMismatch,
        "the tokenizer has \(tokenizer.vocabularyCount) tokens, the model's embedding "
          + "\(source.config.vocabularySize)", at: .file(source.path),
        remedy: "use the tokenizer that came with the weights")
    }
    template = try tokenizer.chatTemplateSource.map {
      try ChatTemplate(
        source: $0, name: try Self.templateName(source), bosToken: tokenizer.bosToken?.text ?? "",
        eosToken: tokenizer.eosToken?.text ?? "")
    }
    let ends = source.config.eosTokens.map(Int32.init)
    endTokens = Set(ends + [tokenizer.eosToken?.id].compactMap { $0 })
  }

  /// Where a model's chat template is: a file of its own, or a text in another one.
  private static func templateName(_ source: ModelSource) throws -> String {
    guard case .folder(let folder) = source.origin else { return "chat template of \(source.path)" }
    let own = "chat_template.jinja"
    return try InputFile.openIfPresent(own, in: folder) == nil
      ? "chat template of \(FilePath.join(folder, "tokenizer_config.json"))"
      : FilePath.join(folder, own)
  }

  /// - Throws: where the model has no chat template.
  package func requireTemplate(_ path: String) throws -> ChatTemplate {
    guard let template else {
      throw Diagnostic(
        .templateMissing, "this model brings no chat template", at: .file(path),
        remedy: "use its instruct version, add chat_template.jinja, or train on text rows")
    }
    return template
  }
}
