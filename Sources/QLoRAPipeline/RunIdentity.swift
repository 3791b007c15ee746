// What must not change between the stretches of a run: recipe, model, tokenizer and rows.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRARecipe
import QLoRASystem
import QLoRAText
import QLoRATraining

/// Digests of a run's inputs, recorded with its recipe and in every checkpoint.
struct RunIdentity {
  /// In a fixed order: `recipe`, `model`, `tokenizer`, `template`, `data`, and `adapter` where
  /// training begins with one.
  let digests: [(name: String, value: String)]

  /// Of a run on images.
  ///
  /// - Parameters:
  ///   - base: the digest of the transformer's files.
  ///   - data: that of all cached samples.
  init(_ recipe: Recipe, base: Digest, data: Digest) throws {
    digests =
      [(name: "recipe", value: Self.recipeDigest(recipe)), ("model", "\(base)"),
       ("data", "\(data)")] + (try Self.initialAdapter(recipe))
  }

  /// - Parameter base: the digest of the model's files.
  /// - Throws: where they can no longer be read.
  init(
    _ recipe: Recipe, _ source: ModelSource, base: Digest, text: ModelText, data: RunData
  ) throws {
    let template = text.tokenizer.chatTemplateSource ?? ""
    digests = [
      (name: "recipe", value: Self.recipeDigest(recipe)),
      ("model", "\(base)"),
      ("tokenizer", try Self.tokenizerDigest(source, text, recorded: recipe.digests["tokenizer"])),
      ("template", Digest(of: template.utf8).description),
      ("data", "\(try DataFingerprint(data.train))-\(try DataFingerprint(data.validation))"),
    ] + (try Self.initialAdapter(recipe))
  }

  /// Of the adapter that training begins with; nothing where it begins with a fresh one.
  private static func initialAdapter(_ recipe: Recipe) throws -> [(name: String, value: String)] {
    guard let path = recipe.adapter.initializeFrom else { return [] }
    let folder = try AdapterFolder.open(path).path
    let files = [PEFTAdapterConfig.fileName, PEFTAdapter.weightsName]
    let opened = try files.map { try InputFile($0, in: folder) }
    return [("adapter", "\(try Digest(ofContents: opened))")]
  }

  var artifacts: [CheckpointArtifacts.Identity] {
    digests.map { CheckpointArtifacts.Identity($0.name, $0.value) }
  }

  /// - Throws: `inputChanged` naming the first recorded digest that differs, or that belongs to
  ///   nothing.
  func check(against recorded: [String: String], run: String) throws {
    for (name, value) in digests {
      if let before = recorded[name], before != value {
        throw Diagnostic(
          .inputChanged,
          "the \(name) is not the one that digests.\(name) names: expected \(before), "
            + "found \(value)",
          at: .file(run), remedy: "restore it, or train into a new output directory")
      }
    }
    let known = digests.map(\.name)
    if let stray = recorded.keys.sorted().first(where: { !known.contains($0) }) {
      throw Diagnostic(
        .inputChanged, "digests.\(stray) belongs to no input of this run", at: .file(run),
        remedy: "delete it; there are \(known.joined(separator: ", "))")
    }
  }

  /// Of everything that decides the numbers; names, places, threads and logging do not.
  private static func recipeDigest(_ recipe: Recipe) -> String {
    var recipe = recipe
    let blank = Recipe()
    recipe.name = blank.name
    recipe.output = blank.output
    recipe.threads = blank.threads
    recipe.device = blank.device
    recipe.maxMemory = blank.maxMemory
    recipe.digests = [:]
    recipe.model.path = ""
    for index in recipe.data.train.indices { recipe.data.train[index].path = "" }
    for index in recipe.data.validation.indices { recipe.data.validation[index].path = "" }
    recipe.adapter.initializeFrom = nil
    recipe.training.logEvery = blank.training.logEvery
    recipe.training.samples = blank.training.samples
    recipe.training.keep = blank.training.keep
    // Where a run rolls back to depends on its saves.
    if recipe.training.onNonFinite != .rollback {
      recipe.training.saveEvery = blank.training.saveEvery
    }
    recipe.training.maxWallTime = nil
    return Digest(of: JSONWriter.text(recipe.recipeJSON).utf8).description
  }

  /// What digests of a tokenizer's whole content begin with. Runs begun with an earlier version
  /// have one of the vocabulary alone, which begins with nothing.
  private static let wholeContent = "content-"

  /// - Parameter recorded: what the run has on record, which decides what is compared.
  private static func tokenizerDigest(
    _ source: ModelSource, _ text: ModelText, recorded: String?
  ) throws -> String {
    if let recorded, !recorded.hasPrefix(wholeContent) { return vocabularyDigest(text) }
    switch source.origin {
    case .folder(let folder):
      return wholeContent + (try Tokenizer.contentDigest(folder: folder).description)
    case .gguf(let file):
      return wholeContent + (try GGUFVocabulary(file).contentDigest.description)
    case .random: return vocabularyDigest(text)
    }
  }

  /// Of the tokens' texts, whatever file they came from.
  private static func vocabularyDigest(_ text: ModelText) -> String {
    let stream = StreamingDigest()
    for id in 0..<Int32(text.tokenizer.vocabularyCount) {
      Array(text.tokenizer.text(of: id).utf8 + [0]).withUnsafeBytes(stream.update)
    }
    return stream.digest.description
  }
}
