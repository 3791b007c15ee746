// Adapters as PEFT folders: what a run exports, and what other commands load.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import QLoRATraining

/// An adapter folder and how its training held the base model.
package struct AdapterFolder {
  package let path: String
  package let adapter: PEFTAdapter
  /// As the adapter was trained; nil for adapters of other tools.
  package let load: LoadOptions?
  /// Where the base model is: as the run's recipe says, else as the adapter's own files name it.
  package let basePath: String?
  /// Validation rows of the run that the adapter is of.
  package let validation: DataSource?
  /// The classes that the adapter tells apart, in their order; nil of a language model.
  package let labels: [String]?

  /// Opens an adapter folder, the adapter of a run directory, or a checkpoint.
  ///
  /// - Throws: diagnostics for a missing or foreign adapter (exit codes 65 and 66).
  package static func open(_ path: String) throws -> AdapterFolder {
    let inner = FilePath.join(path, "adapter")
    let folder = try exists(PEFTAdapterConfig.fileName, in: inner) ? inner : path
    try requireTrained(folder)
    let adapter = try PEFTAdapter.read(folder)
    try adapter.checkRanks(in: folder)
    let recipe = try recipe(around: folder)
    let isRecorded = try exists(TrainedWith.fileName, in: folder)
    let record = isRecorded ? try TrainedWith.read(folder) : nil
    let isOfClasses = recipe?.task == .classification
    let known = record?.labels ?? (isOfClasses ? recipe?.data.labels : nil)
    let labels = try adapter.labels(named: known)
    var load = record?.load ?? recipe?.loadOptions
    load?.classes = labels.map { adapter.classOptions(count: $0.count) }
    return AdapterFolder(
      path: folder, adapter: adapter, load: load,
      basePath: recipe?.model.path ?? adapter.config.baseModel,
      validation: recipe?.data.validation.first?.dataSource, labels: labels)
  }

  /// - Throws: `adapterMissing` for a run that has no adapter yet, with what helps.
  private static func requireTrained(_ folder: String) throws {
    guard try !exists(PEFTAdapterConfig.fileName, in: folder),
      try exists(RunDirectory.recipeName, in: folder)
    else { return }
    let store = CheckpointStore(FilePath.join(folder, RunDirectory.checkpointsName))
    let newest = try store.newestIntact()?.path
    throw Diagnostic(
      .adapterMissing, "this run is not finished, and has no adapter yet", at: .file(folder),
      remedy: "`qlora resume \(folder)` finishes it"
        + (newest.map { "; the adapter so far is \($0)" } ?? ""))
  }

  /// Whether `open` would look for an adapter here, and not for a model.
  static func isOne(_ path: String) throws -> Bool {
    try exists(FilePath.join("adapter", PEFTAdapterConfig.fileName), in: path)
      || exists(PEFTAdapterConfig.fileName, in: path) || exists(RunDirectory.recipeName, in: path)
  }

  /// The recipe of the run that `folder` is the adapter or a checkpoint of; nil for a folder on its
  /// own.
  private static func recipe(around folder: String) throws -> Recipe? {
    let parent = FilePath.parent(of: folder)
    for run in [parent, FilePath.parent(of: parent)] {
      if try exists(RunDirectory.recipeName, in: run) {
        let path = FilePath.join(run, RunDirectory.recipeName)
        return try RecipeLoader.load(path: path).recipe
      }
    }
    return nil
  }

  private static func exists(_ name: String, in folder: String) throws -> Bool {
    try PosixFileSystem().status(FilePath.join(folder, name)) != nil
  }
}

extension AdapterFolder {
  /// - Throws: `taskUnsupported` for an adapter that tells classes apart.
  func requireLanguageModel(_ reason: String) throws {
    guard labels != nil else { return }
    throw Diagnostic(
      .taskUnsupported, "the adapter tells classes apart: \(reason)", at: .file(path),
      remedy: "merge it with `qlora merge`, or use it with `qlora classify`")
  }
}

/// `qlora.json` beside an adapter: how the base was held in training, which PEFT does not record
/// and evaluation must repeat. Other tools ignore the file.
enum TrainedWith {
  static let fileName = "qlora.json"
  private static let maximumFileBytes = 1 << 16
  private static let remedy =
    "restore the file, or delete it and say --quantization and --compute-dtype"

  static func text(_ options: LoadOptions, labels: [String]? = nil) -> String {
    let classes = labels.map { [JSONMember("labels", .list($0.map { .string($0) }))] } ?? []
    let members = (json(options).objectMembers ?? []) + classes
    return JSONWriter.text(
      .object(members.sorted { $0.key < $1.key }), style: .indented) + "\n"
  }

  /// Everything that decides how a base is held.
  static func json(_ options: LoadOptions) -> JSONValue {
    .dictionary([
      ("computeDType", .string(options.computeDType.rawValue)),
      ("quantization", options.quantization?.json ?? .null),
      ("skip", .list(options.skip.map { .string($0) })),
    ])
  }

  /// - Throws: `adapterRecordDamaged`.
  static func read(_ folder: String) throws -> (load: LoadOptions, labels: [String]?) {
    let path = FilePath.join(folder, fileName)
    let file = try InputFile(fileName, in: folder)
    let json = try JSONValue.read(file, limit: maximumFileBytes, code: .adapterRecordDamaged)
    guard let dtype = json["computeDType"]?.stringValue.flatMap({ DType(rawValue: $0) }) else {
      throw Diagnostic(
        .adapterRecordDamaged, "computeDType is missing or none that is known", at: .file(path),
        remedy: remedy)
    }
    var quantization: WeightQuantization?
    if let held = json["quantization"], !held.isNull {
      quantization = WeightQuantization(json: held)
      guard quantization != nil else {
        throw Diagnostic(
          .adapterRecordDamaged, "quantization is incomplete", at: .file(path), remedy: remedy)
      }
    }
    let skip = json["skip"]?.arrayValue?.compactMap(\.stringValue) ?? []
    return (
      LoadOptions(quantization: quantization, skip: skip, computeDType: dtype),
      json["labels"]?.arrayValue?.compactMap(\.stringValue)
    )
  }
}

extension DecoderModel {
  /// The adapters of this model as PEFT keeps them.
  func peftAdapter(_ config: PEFTAdapterConfig) -> PEFTAdapter {
    PEFTAdapter(
      config: config,
      pairs: linears.compactMap { linear in
        linear.adapter.map {
          PEFTAdapter.Pair(module: linear.name, a: $0.a.value, b: $0.b.value)
        }
      }, saved: classifier?.tensors ?? savedTensors)
  }
}

extension PEFTAdapter {
  /// The classes of an adapter with a head, called as `known` says, or else by their numbers; nil
  /// of a language model's.
  ///
  /// - Throws: `adapterMismatch` where names and head are of different numbers.
  func labels(named known: [String]?) throws -> [String]? {
    guard config.taskType == PEFTAdapterConfig.classification else { return nil }
    // Of the head's linears the last one has a row for each class.
    let outputs = ["score.weight", "classifier.weight", "classifier.out_proj.weight"]
    guard let head = saved.first(where: { outputs.contains($0.name) }) else {
      throw Diagnostic(
        .adapterMismatch, "the adapter is one of a classifier, and has no head that is known here",
        remedy: "train a model whose head is `score` or `classifier`")
    }
    let count = head.tensor.shape[0]
    let labels = known ?? (0..<count).map { "LABEL_\($0)" }
    guard labels.count == count else {
      throw Diagnostic(
        .adapterMismatch, "\(labels.count) labels are named, and the head has \(count)")
    }
    return labels
  }

  func classOptions(count: Int) -> ClassOptions {
    ClassOptions(
      count: count, trainsPooler: config.modulesToSave.contains(ClassifierNames.poolerWord))
  }
}
