// Whole runs that teach the smallest models to tell classes apart: the golden BERT, RoBERTa and
// Llama, with rows made here.
import Foundation
import QLoRAPipeline
import QLoRARecipe
import TestSupport

/// A folder with a model, rows and a recipe, and runs of it.
final class ClassifierRun: Sendable {
  let folder: TemporaryFolder

  var modelPath: String { folder.path("model") }

  /// - Parameter name: of a golden model.
  init(_ name: String = "bert") throws {
    folder = try TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path("model"), withIntermediateDirectories: true)
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        atPath: Goldens.path("classifiers/\(name)/\(file)"), toPath: folder.path("model/\(file)"))
    }
    try write("train.jsonl", Self.rows(60, seed: 1))
    try write("validation.jsonl", Self.rows(20, seed: 2))
    try write("recipe.json", Self.recipe)
  }

  /// Accumulation, packing of several rows, dropout; evaluations and saves fall between.
  static let recipe = """
    {
      "task": "classification",
      "model": { "path": "model", "computeDType": "float32" },
      "adapter": { "rank": 4, "alpha": 8, "dropout": 0.1 },
      "data": {
        "train": [{ "path": "train.jsonl", "format": "classification" }],
        "validation": [{ "path": "validation.jsonl", "format": "classification" }],
        "maxTokens": 40
      },
      "training": {
        "steps": 40, "batchSize": 2, "gradientAccumulation": 2,
        "optimizer": { "learningRate": 1e-2 },
        "schedule": { "type": "cosine", "warmupSteps": 2 },
        "evalEvery": 15, "saveEvery": 10
      },
      "threads": 1
    }
    """

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: folder.url.appending(path: name))
  }

  /// Texts of which one word says the class; every third has a second text.
  static func rows(_ count: Int, seed: UInt64, labels: [String] = ["\"bad\"", "\"good\""]) -> String
  {
    var generator = SeededGenerator(seed: seed)
    let fillers = ["the", "film", "plot", "is", "was", "very", "story", "of", "it", "end"]
    return (0..<count).map { index in
      var words = (0..<Int.random(in: 2...5, using: &generator)).map { _ in
        fillers.randomElement(using: &generator) ?? ""
      }
      let isGood = Bool.random(using: &generator)
      words.insert(
        isGood ? "good" : "dull", at: Int.random(in: 0...words.count, using: &generator))
      let pair = index % 3 == 0 ? ", \"text_pair\": \"the story\"" : ""
      let text = words.joined(separator: " ")
      return "{\"text\": \"\(text)\"\(pair), \"label\": \(labels[isGood ? 1 : 0])}\n"
    }.joined()
  }

  func recipe(_ output: String, _ settings: [String] = []) throws -> ResolvedRecipe {
    try RecipeLoader.load(
      path: folder.path("recipe.json"),
      overrides: try settings.map { try RecipeOverride(argument: $0) }
        + [RecipeOverride("output", .string(folder.path(output)), spelled: "--output")])
  }

  @discardableResult
  func train(
    _ output: String, _ settings: [String] = [], interruption: @escaping () -> Int32? = { nil }
  ) throws -> RunOutcome {
    try Pipeline.train(try recipe(output, settings), interruption: interruption) { _ in }
  }

  func base(_ model: String? = nil, adapter: String?) -> BaseOptions {
    BaseOptions(
      model: model ?? modelPath, adapter: adapter.map(folder.path), quantization: nil,
      computeDType: nil, threads: 1)
  }
}
