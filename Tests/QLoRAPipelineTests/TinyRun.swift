// Whole runs on the smallest model there is: the golden Llama with a tokenizer of 320 tokens. It
// goes through the same functions as the command line.
import Foundation
import QLoRAJSON
import QLoRAPipeline
import QLoRARecipe
import QLoRASystem
import QLoRATraining
import TestSupport

/// A folder with a model, rows and a recipe, and runs of it.
final class TinyRun: Sendable {
  let folder: TemporaryFolder

  var recipePath: String { folder.path("recipe.json") }
  var modelPath: String { folder.path("model") }
  var dataPath: String { folder.path("train.jsonl") }

  init() throws {
    folder = try TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path("model"), withIntermediateDirectories: true)
    for (source, names) in [
      ("tiny-llama", ["config.json", "generation_config.json", "model.safetensors"]),
      ("tiny-chat", ["tokenizer.json", "tokenizer_config.json"]),
    ] {
      for name in names {
        try FileManager.default.copyItem(
          atPath: Goldens.path("\(source)/\(name)"), toPath: folder.path("model/\(name)"))
      }
    }
    try write("train.jsonl", Self.rows(13, seed: 1))
    try write("validation.jsonl", Self.rows(4, seed: 2))
    try write("recipe.json", Self.recipe)
  }

  /// Dropout, accumulation of three micro-batches, seven steps over 13 unpacked rows: steps span
  /// epochs, and evaluations and saves fall between.
  static let recipe = """
    {
      "model": { "path": "model", "computeDType": "float32" },
      "adapter": { "rank": 4, "alpha": 8, "dropout": 0.1 },
      "data": {
        "train": [{ "path": "train.jsonl" }], "validation": [{ "path": "validation.jsonl" }],
        "maxTokens": 96, "packing": false
      },
      "training": {
        "steps": 7, "batchSize": 1, "gradientAccumulation": 3,
        "optimizer": { "learningRate": 1e-2, "weightDecay": 0.1 },
        "schedule": { "type": "cosine", "warmupSteps": 2 },
        "evalEvery": 3, "saveEvery": 2
      },
      "threads": 1
    }
    """

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: folder.url.appending(path: name))
  }

  func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.url.appending(path: name)))
  }

  static func rows(_ count: Int, seed: UInt64) -> String {
    var generator = SeededGenerator(seed: seed)
    let words = ["call", "play", "the", "door", "light", "song", "at", "ten", "on", "off"]
    return (0..<count).map { _ in
      let ask = (0..<Int.random(in: 2...6, using: &generator)).map { _ in
        words.randomElement(using: &generator) ?? ""
      }.joined(separator: " ")
      let answer = words.randomElement(using: &generator) ?? ""
      return """
        {"messages":[{"role":"user","content":"\(ask)"},{"role":"assistant","content":"\(answer)"}]}

        """
    }.joined()
  }

  /// The recipe with `--set` arguments over it, into the folder `output`.
  func recipe(_ output: String, _ settings: [String] = []) throws -> ResolvedRecipe {
    try RecipeLoader.load(
      path: recipePath,
      overrides: try settings.map { try RecipeOverride(argument: $0) }
        + [RecipeOverride("output", .string(folder.path(output)), spelled: "--output")])
  }

  @discardableResult
  func train(
    _ output: String, _ settings: [String] = [], cache: WeightCache? = nil,
    interruption: @escaping () -> Int32? = { nil },
    fileSystem: any FileSystem = PosixFileSystem(),
    events: @escaping (RunEvent) -> Void = { _ in }
  ) throws -> RunOutcome {
    try Pipeline.train(
      try recipe(output, settings), cache: cache, interruption: interruption,
      fileSystem: fileSystem, events: events)
  }

  @discardableResult
  func resume(
    _ output: String, interruption: @escaping () -> Int32? = { nil },
    events: @escaping (RunEvent) -> Void = { _ in }
  ) throws -> RunOutcome {
    try Pipeline.resume(
      runDirectory: folder.path(output), interruption: interruption, events: events)
  }

  func result(_ output: String) throws -> TinyResult { try TinyResult(folder.path(output)) }
}

/// Everything of a finished run that may depend on neither interruptions nor threads.
struct TinyResult: Equatable {
  var adapter: [UInt8]
  var configuration: [UInt8]
  var card: [UInt8]
  var checkpointed: [UInt8]
  var optimizer: [UInt8]
  var metrics: [String]

  init(_ run: String) throws {
    let files = PosixFileSystem()
    adapter = try files.readAll(run + "/adapter/adapter_model.safetensors")
    configuration = try files.readAll(run + "/adapter/adapter_config.json")
    card = try files.readAll(run + "/adapter/README.md")
    let newest = try CheckpointStore(run + "/checkpoints").newestIntact()?.path ?? ""
    checkpointed = try files.readAll(newest + "/adapter_model.safetensors")
    optimizer = try files.readAll(newest + "/optimizer.safetensors")
    metrics = try Self.metrics(run)
  }

  /// The lines of `metrics.jsonl` without the keys of time and memory.
  static func metrics(_ run: String) throws -> [String] {
    let timeKeys = ["tokensPerSecond", "peakMemoryBytes", "elapsedSeconds"]
    return try PosixFileSystem().readAll(run + "/metrics.jsonl")
      .split(separator: UInt8(ascii: "\n")).map {
        let members = try JSONValue(parsing: $0).objectMembers ?? []
        return JSONWriter.text(.object(members.filter { !timeKeys.contains($0.key) }))
      }
  }
}

/// Counts down and then asks to stop, once.
final class StopAfter {
  private var polls: Int
  private(set) var hasFired = false

  init(polls: Int) { self.polls = polls }

  func poll() -> Int32? {
    if polls == 0 { hasFired = true }
    polls -= 1
    return polls < 0 ? 15 : nil
  }
}
