// The defaults that Docs/Recipes.md promises, and that the canonical form keeps its meaning.
import Foundation
import QLoRAJSON
import QLoRARecipe
import TestSupport
import Testing

@Suite struct DefaultsTests {
  private static let canonical = """
    {
      "name": "r",
      "model": {
        "path": "m.gguf",
        "quantization": {
          "type": "nf4",
          "blocksize": 64,
          "doubleQuant": true,
          "skip": []
        },
        "computeDType": "bfloat16"
      },
      "adapter": {
        "type": "lora",
        "rank": 16,
        "alpha": 32.0,
        "dropout": 0.0,
        "targets": "all-linear",
        "initializeFrom": null
      },
      "data": {
        "train": [
          {
            "path": "t.jsonl",
            "format": "messages"
          }
        ],
        "validation": [],
        "validationSplit": 0.0,
        "maxTokens": 512,
        "packing": true,
        "shuffle": true,
        "overLength": "truncate"
      },
      "training": {
        "epochs": 1,
        "batchSize": 4,
        "gradientAccumulation": 1,
        "optimizer": {
          "type": "adamw",
          "learningRate": 0.0002,
          "beta1": 0.9,
          "beta2": 0.999,
          "epsilon": 1e-08,
          "weightDecay": 0.0
        },
        "schedule": {
          "type": "cosine",
          "warmupSteps": 10
        },
        "maxGradientNorm": 1.0,
        "activationMemory": "none",
        "seed": 0,
        "evalEvery": 50,
        "saveEvery": 50,
        "keep": 2,
        "logEvery": 10
      },
      "device": "auto",
      "maxMemory": {
        "cpu": null
      },
      "threads": 0,
      "output": "/nowhere/runs/r"
    }

    """

  @Test func canonicalFormOfTheLeastRecipe() throws {
    #expect(try RecipeTexts.load(RecipeTexts.least).text == Self.canonical)
  }

  static let unusual = #"""
    { // every key away from its default
      "$schema": "recipe.schema.json", "name": "x", "device": "cuda", "threads": 3,
      "maxMemory": {"cpu": "3GiB"},
      "output": "/tmp/x", "digests": {"model": "sha256:00", "data": "sha256:11"},
      "model": {"path": "/m", "computeDType": "int16",
        "quantization": {"type": "fp4", "blocksize": 4096, "doubleQuant": false, "skip": ["a"]}},
      "adapter": {"rank": 3, "alpha": 1.5, "dropout": 0.25, "targets": ["q_proj", "v_proj"],
        "initializeFrom": "/a"},
      "data": {"train": [{"path": "/t", "format": "text"}, {"path": "/u", "format": "alpaca"}],
        "validation": [{"path": "/v", "format": "prompt-completion"}], "maxTokens": 2,
        "packing": false, "shuffle": false, "overLength": "drop"},
      "training": {"steps": 7, "batchSize": 1, "gradientAccumulation": 8,
        "optimizer": {"type": "adamw", "learningRate": 0, "beta1": 0, "beta2": 0.5,
          "epsilon": 1e-30, "weightDecay": 0.1},
        "schedule": {"type": "linear", "warmupSteps": 7}, "maxGradientNorm": 0,
        "activationMemory": "1536KiB", "seed": 9223372036854775807, "evalEvery": 0,
        "saveEvery": 1, "keep": 1, "logEvery": 1, "onNonFinite": "skip", "maxNonFinite": 7,
        "maxWallTime": "1d3h50m"},
    }
    """#

  /// The same of the keys that only image models take.
  static let unusualImage = #"""
    {"model": {"path": "/m"}, "task": "image",
      "data": {"train": [{"path": "/l", "format": "latents"}]},
      "image": {"timesteps": "mode", "modeScale": 0.5, "shift": 3, "weighting": "square",
        "guidance": 1}}
    """#

  @Test func canonicalFormReadsBackToItself() throws {
    for text in [RecipeTexts.least, Self.unusual, Self.unusualImage] {
      let first = try RecipeTexts.load(text, capabilities: .everything)
      let second = try RecipeTexts.load(first.text, capabilities: .everything)
      #expect(second.recipe == first.recipe)
      #expect(second.text == first.text)
    }
  }

  @Test(arguments: [("language", "messages"), ("classification", "classification"),
    ("image", "latents")])
  func rowsAreOfTheTasksOwnKind(task: String, format: String) throws {
    let text = #"{"task":"\#(task)","model":{"path":"m"},"#
      + #""data":{"train":[{"path":"t"}],"validation":[{"path":"v"}]}}"#
    let data = try RecipeTexts.load(text, capabilities: .everything).recipe.data
    #expect((data.train + data.validation).map(\.format.rawValue) == [format, format])
  }

  /// The canonical form has only the keys that the type takes, so that it reads back.
  @Test(arguments: [
    ("adamw8bit", "learningRate beta1 beta2 epsilon weightDecay"),
    ("pagedadamw", "learningRate beta1 beta2 epsilon weightDecay"),
    ("pagedlion8bit", "learningRate beta1 beta2 weightDecay"),
    ("lion", "learningRate beta1 beta2 weightDecay"),
    ("lion8bit", "learningRate beta1 beta2 weightDecay"),
    ("sgd", "learningRate momentum weightDecay"),
  ])
  func optimizersReadBack(type: String, keys: String) throws {
    let text = Self.unusual.replacing(
      #""optimizer": {"type": "adamw", "learningRate": 0, "beta1": 0, "beta2": 0.5,"#
        + "\n      " + #""epsilon": 1e-30, "weightDecay": 0.1}"#,
      with: #""optimizer": {"type": "\#(type)"}"#)
    let first = try RecipeTexts.load(text, capabilities: .everything)
    #expect(first.recipe.training.optimizer.type.rawValue == type)
    #expect(first.recipe.training.optimizer.momentum == 0)
    let second = try RecipeTexts.load(first.text, capabilities: .everything)
    #expect(second.recipe == first.recipe && second.text == first.text)
    let optimizer = try JSONValue(parsing: Array(first.text.utf8))["training"]?["optimizer"]
    #expect(optimizer?.objectMembers?.map(\.key).joined(separator: " ") == "type " + keys)
  }

  @Test func everyValueArrives() throws {
    let recipe = try RecipeTexts.load(Self.unusual, capabilities: .everything).recipe
    #expect(recipe.model.quantization.type == .fp4)
    #expect(recipe.model.quantization.skip == ["a"])
    #expect(recipe.adapter.targets == .names(["q_proj", "v_proj"]))
    #expect(recipe.adapter.initializeFrom == "/a")
    #expect(recipe.data.train.map(\.format) == [.text, .alpaca])
    #expect(recipe.data.validation == [Recipe.Source(path: "/v", format: .promptCompletion)])
    #expect(recipe.training.duration == .steps(7))
    #expect(recipe.training.activationMemory == .budget(bytes: 1536 << 10))
    #expect(recipe.training.seed == Int.max)
    #expect(recipe.training.onNonFinite == .skip && recipe.training.maxNonFinite == 7)
    #expect(recipe.training.maxWallTime?.seconds == 27 * 3600 + 50 * 60)
    #expect(recipe.maxMemory.cpu == 3 << 30)
    #expect(recipe.digests == ["model": "sha256:00", "data": "sha256:11"])
  }

  @Test func everyKeyDiffersFromItsDefaultInTheUnusualRecipe() throws {
    // Keeps the two tests above honest when a key is added.
    let language = try RecipeTexts.load(Self.unusual, capabilities: .everything).jsonValue
    let image = try RecipeTexts.load(Self.unusualImage, capabilities: .everything).jsonValue
    for (path, schema) in FieldSchema.recipe.flattened() where schema.children.isEmpty {
      guard let standard = schema.defaultValue, path != "adapter.type",
        path != "training.optimizer.type", !path.hasPrefix("data.train."),
        !path.hasPrefix("data.validation."), path != "data.validationSplit",
        path != "training.epochs"
      else { continue }
      let value = path.hasPrefix("image.") ? image : language
      let found = path.split(separator: ".").reduce(value) { $0[String($1)] ?? .null }
      #expect(found != standard, "\(path)")
    }
  }

  @Test(arguments: [
    ("\"none\"", Recipe.ActivationMemory.none), ("\"full\"", .full), ("\"host\"", .host),
    ("\"512MiB\"", .budget(bytes: 512 << 20)), ("\"2 GB\"", .budget(bytes: 2_000_000_000)),
    ("\"7B\"", .budget(bytes: 7)), ("4096", .budget(bytes: 4096)),
  ]) func activationMemory(_ text: String, _ expected: Recipe.ActivationMemory) throws {
    let recipe = try RecipeTexts.load(
      RecipeTexts.with("training", "\"activationMemory\": \(text)")
    ).recipe
    #expect(recipe.training.activationMemory == expected)
  }

  @Test(arguments: [
    ("3h50m", 13_800, "3h50m"), ("90s", 90, "1m30s"), ("1d", 86_400, "1d"), ("60m", 3600, "1h"),
    ("0h5m", 300, "5m"),
  ]) func wallTimes(text: String, seconds: Int, canonical: String) throws {
    let time = try #require(Recipe.WallTime(text))
    #expect(time.seconds == seconds && time.text == canonical)
  }

  @Test(arguments: [
    "", "5", "h", "5x", "5m3h", "1h1h", "0s", "-1h", "1.5h", "3 h", "9223372036854775807d",
    "99999999999999999999s", "٣h",
  ]) func noWallTimes(text: String) {
    #expect(Recipe.WallTime(text) == nil)
  }

  @Test func targets() throws {
    func targets(_ text: String) throws -> Recipe.Targets {
      try RecipeTexts.load(RecipeTexts.with("adapter", "\"targets\": \(text)")).recipe.adapter
        .targets
    }
    #expect(try targets("\"all-linear\"") == .allLinear)
    #expect(try targets(#"".*\\.(q|v)_proj""#) == .pattern(#".*\.(q|v)_proj"#))
    #expect(try targets(#"["q_proj"]"#) == .names(["q_proj"]))
  }

  @Test func everyShippedRecipeIsValid() throws {
    let folder = Goldens.repository.appending(path: "Recipes")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasSuffix(".json") }
    #expect(!files.isEmpty)
    for file in files {
      let path = folder.appending(path: file).path
      let resolved = try RecipeLoader.load(path: path)
      #expect(resolved.recipe.name + ".json" == file)
      let readme = try String(
        contentsOf: folder.appending(path: "README.md"), encoding: .utf8)
      #expect(readme.contains("`\(resolved.recipe.name)`"))
    }
  }
}
