// The exact words and places of every kind of error.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRARecipe
import TestSupport
import Testing

@Suite struct RecipeErrorTests {
  struct Fault: Sendable, CustomTestStringConvertible {
    let section: String
    let members: String
    let message: String
    var testDescription: String { "\(section): \(members)" }

    init(_ section: String, _ members: String, _ message: String) {
      self.section = section
      self.members = members
      self.message = message
    }
  }

  /// Positions are left out here; `positions` below has them.
  static let faults = [
    Fault(
      "training", #""optimizer":{"lerningRate":1}"#,
      #"error[E0102]: unknown key "lerningRate" in training.optimizer; "#
        + #"did you mean "learningRate"?"#
    ),
    Fault(
      "training", #""optimizer":{"learning_rate":1}"#,
      #"error[E0102]: unknown key "learning_rate" in training.optimizer; "#
        + #"did you mean "learningRate"?"#),
    Fault(
      "training", #""optimizer":{"type":"adamw_bnb_8bit"}"#,
      #"error[E0106]: training.optimizer.type must be "adamw", "adamw8bit", "pagedadamw", "#
        + #""pagedadamw8bit", "lion", "lion8bit", "pagedlion", "pagedlion8bit" or "sgd", "#
        + #"found "adamw_bnb_8bit"; "adamw_bnb_8bit" is "adamw8bit" here"#),
    Fault(
      "training", #""optimizer":{"type":"paged_adamw_8bit"}"#,
      #"error[E0106]: training.optimizer.type must be "adamw", "adamw8bit", "pagedadamw", "#
        + #""pagedadamw8bit", "lion", "lion8bit", "pagedlion", "pagedlion8bit" or "sgd", "#
        + #"found "paged_adamw_8bit"; "paged_adamw_8bit" is "pagedadamw8bit" here"#),
    Fault(
      "", #""maxMemory":{"cpu":"3 gigs"}"#,
      #"error[E0105]: maxMemory.cpu must be a size such as "3GiB", found "3 gigs"; "#
        + "units are KiB, MiB, GiB, kB, MB and GB"),
    Fault(
      "", #""maxMemory":{"cpu":0}"#,
      #"error[E0105]: maxMemory.cpu must be a size such as "3GiB", found 0"#),
    Fault(
      "", #""maxMemory":{"cuda":"3GiB"}"#,
      #"error[E0102]: unknown key "cuda" in maxMemory; known here: cpu"#),
    Fault(
      "", #""max_memory":{"cpu":"3GiB"}"#,
      #"error[E0102]: unknown key "max_memory"; did you mean "maxMemory"?"#),
    Fault(
      "", #""device_map":"auto""#,
      #"error[E0102]: unknown key "device_map"; "device_map" is "device" here"#),
    Fault(
      "training", #""optimizer":{"type":"sgd","beta2":0.9}"#,
      #"error[E0108]: training.optimizer.beta2 means nothing to "sgd"; delete it, or choose "#
        + "another training.optimizer.type"),
    Fault(
      "training", #""optimizer":{"type":"lion8bit","epsilon":1e-8}"#,
      #"error[E0108]: training.optimizer.epsilon means nothing to "lion8bit"; delete it, or "#
        + "choose another training.optimizer.type"),
    Fault(
      "training", #""optimizer":{"momentum":0.9}"#,
      #"error[E0108]: training.optimizer.momentum means nothing to "adamw"; delete it, or "#
        + "choose another training.optimizer.type"),
    Fault(
      "training", #""maxWallTime":"3x""#,
      #"error[E0105]: training.maxWallTime must be a time such as "3h50m" or "90s", found "#
        + #""3x"; units are d, h, m and s, in this order, each at most once"#),
    Fault(
      "training", #""maxWallTime":90"#,
      #"error[E0104]: training.maxWallTime must be a time such as "3h50m" or "90s", or null, "#
        + "found 90"),
    Fault(
      "training", #""maxNonFinite":2"#,
      #"error[E0108]: training.maxNonFinite means nothing where training.onNonFinite is "halt"; "#
        + #"delete it, or set training.onNonFinite to "skip" or "rollback""#),
    Fault(
      "", #""rank":8"#,
      #"error[E0102]: unknown key "rank"; "rank" belongs in adapter"#),
    Fault(
      "adapter", #""seed":8"#,
      #"error[E0102]: unknown key "seed" in adapter; "seed" belongs in training"#),
    Fault(
      "adapter", #""threads":8"#,
      #"error[E0102]: unknown key "threads" in adapter; "threads" belongs in the top level"#),
    Fault(
      "adapter", #""lora_r":8"#,
      #"error[E0102]: unknown key "lora_r" in adapter; "lora_r" is "adapter.rank" here"#),
    Fault(
      "", #""lr":8"#,
      #"error[E0102]: unknown key "lr"; "lr" is "training.optimizer.learningRate" here"#),
    Fault(
      "", #""warmup_ratio":8"#,
      #"error[E0102]: unknown key "warmup_ratio"; use "warmupSteps" in training.schedule, "#
        + "a count of optimizer steps"),
    Fault(
      "", #""learningRat":8"#,
      #"error[E0102]: unknown key "learningRat"; did you mean "training.optimizer.learningRate"?"#),
    Fault(
      "adapter", #""zzzzzzzzzzzz":8"#,
      #"error[E0102]: unknown key "zzzzzzzzzzzz" in adapter; "#
        + "known here: type, rank, alpha, dropout, targets, initializeFrom, modulesToSave"),
    Fault(
      "adapter", #""rank":8,"r\u0061nk":9"#,
      #"error[E0103]: duplicate key "rank" in adapter, first on 1:66; delete one of the two"#),
    Fault(
      "adapter", #""rank":"8""#,
      #"error[E0104]: adapter.rank must be an integer from 1 to 65536, found "8""#),
    Fault(
      "adapter", #""rank":8.5"#,
      "error[E0104]: adapter.rank must be an integer from 1 to 65536, found 8.5"),
    Fault(
      "adapter", #""rank":0"#,
      "error[E0105]: adapter.rank must be an integer from 1 to 65536, found 0"),
    Fault(
      "adapter", #""rank":99999999999999999999"#,
      "error[E0105]: adapter.rank must be an integer from 1 to 65536, found 99999999999999999999"),
    Fault(
      "adapter", #""dropout":1"#,
      "error[E0105]: adapter.dropout must be a number at least 0 and below 1, found 1"),
    Fault(
      "adapter", #""alpha":0"#, "error[E0105]: adapter.alpha must be a number above 0, found 0"),
    Fault(
      "adapter", #""alpha":1e999"#,
      "error[E0105]: adapter.alpha must be a number above 0, found 1e999"),
    Fault(
      "adapter", #""targets":[]"#,
      #"error[E0105]: adapter.targets must be "all-linear", a regular expression, "#
        + "or a list of names, found an array"),
    Fault(
      "adapter", #""targets":["q",3]"#,
      "error[E0104]: adapter.targets.1 must be a string that is not empty, found 3"
    ),
    Fault(
      "adapter", #""targets":"(q""#,
      #"error[E0105]: adapter.targets is not a regular expression: "(q"; "#
        + #"a list of names, ["q_proj", "v_proj"], needs no expression"#),
    Fault(
      "adapter", #""targets":"all_linear""#,
      #"error[E0105]: adapter.targets must be "all-linear", a regular expression, "#
        + #"or a list of names, found "all_linear"; did you mean "all-linear"?"#),
    Fault(
      "adapter", #""targets":"[q_proj, v_proj]""#,
      #"error[E0105]: adapter.targets must be "all-linear", a regular expression, "#
        + #"or a list of names, found "[q_proj, v_proj]"; a list is written ["q_proj", "v_proj"]"#),
    Fault(
      "adapter", #""initializeFrom":3"#,
      "error[E0104]: adapter.initializeFrom must be a path as a string, or null, found 3"),
    Fault(
      "adapter", #""initializeFrom":"""#,
      #"error[E0105]: adapter.initializeFrom must be a path as a string, found """#),
    Fault(
      "model", #""quantization":{"type":"nf3"}"#,
      #"error[E0106]: model.quantization.type must be "nf4", "fp4", "int8" or "none", "#
        + #"found "nf3"; "#
        + #"did you mean "nf4"?"#),
    Fault(
      "model", #""quantization":{"type":"fp4","threshold":6}"#,
      #"error[E0108]: model.quantization.threshold is for "int8" only; delete it, or choose "#
        + "another model.quantization.type"),
    Fault(
      "model", #""quantization":{"type":"int8","blocksize":128}"#,
      #"error[E0108]: model.quantization.blocksize is for "nf4" and "fp4" only; delete it, or "#
        + "choose another model.quantization.type"),
    Fault(
      "model", #""quantization":{"type":"none","doubleQuant":false}"#,
      #"error[E0108]: model.quantization.doubleQuant is for "nf4" and "fp4" only; delete it, or "#
        + "choose another model.quantization.type"),
    Fault(
      "model", #""quantization":{"blocksize":48}"#,
      "error[E0105]: model.quantization.blocksize must be a power of two from 32 to 4096, "
        + "found 48"),
    Fault(
      "model", #""quantization":"nf4""#,
      #"error[E0104]: model.quantization must be an object, found "nf4""#),
    Fault(
      "model", #""quantization":{"doubleQuant":1}"#,
      "error[E0104]: model.quantization.doubleQuant must be true or false, found 1"),
    Fault(
      "data", #""validation":{"path":"v"}"#,
      "error[E0104]: data.validation must be a list of objects, found an object"),
    Fault(
      "data", #""validation":[{"format":"text"}]"#,
      "error[E0107]: data.validation.0.path is missing; it is required; "
        + #"add "path": "train.jsonl""#),
    Fault(
      "data", #""validation":[{"path":"v"}],"validationSplit":0.1"#,
      "error[E0108]: data.validation and data.validationSplit are both given; "
        + "delete one of the two"),
    Fault(
      "training", #""epochs":1,"steps":2"#,
      "error[E0108]: training.epochs and training.steps are both given; delete one of the two"),
    Fault(
      "training", #""activationMemory":"half""#,
      #"error[E0105]: training.activationMemory must be "none", "full", "host" or a size such as "#
        + #""512MiB", found "half"; units are KiB, MiB, GiB, kB, MB and GB"#),
    Fault(
      "", #""name":"a/b""#,
      "error[E0105]: name must be a string that can name a folder (no \"/\", not empty), "
        + #"found "a/b""#),
    Fault(
      "", #""digests":{"model":3}"#,
      "error[E0104]: digests must be an object of strings, found an object"),
  ]

  @Test(arguments: faults) func message(_ fault: Fault) {
    let problems = RecipeTexts.problems(RecipeTexts.with(fault.section, fault.members))
    #expect(problems.map(Self.withoutPlace) == [fault.message])
  }

  @Test func positions() {
    let text = """
      {
        "model": { "path": "m", "pth": 1 },
        "data": {
          "train": [
            { "path": "t" },
            { "path": "t", "format": "mesages" }
          ]
        },
        "trainin": {}
      }
      """
    #expect(
      RecipeTexts.problems(text) == [
        #"r.json:2:27: error[E0102]: unknown key "pth" in model; did you mean "path"?"#,
        #"r.json:6:22: error[E0106]: data.train.1.format must be "messages", "sharegpt", "#
          + #""alpaca", "prompt-completion", "text", "classification" or "latents", "#
          + #"found "mesages"; "#
          + #"did you mean "messages"?"#,
        #"r.json:9:3: error[E0102]: unknown key "trainin"; did you mean "training"?"#,
      ])
  }

  @Test func missingKeys() {
    #expect(
      RecipeTexts.problems("{}") == [
        "r.json:1:1: error[E0107]: model.path is missing; it is required; "
          + #"add "model": {"path": "Models/model.gguf"}"#,
        "r.json:1:1: error[E0107]: data.train is missing; it is required; "
          + #"add "data": {"train": [{"path": "train.jsonl", "format": "messages"}]}"#,
      ])
  }

  @Test func syntax() {
    #expect(
      RecipeTexts.problems("{\n  \"model\": }") == [
        "r.json:2:12: error[E0101]: expected a value, found '}'"
      ])
    #expect(
      RecipeTexts.problems("[]") == [
        "r.json:1:1: error[E0104]: the recipe must be an object, found an array"
      ])
  }

  @Test func emptyTraining() {
    #expect(
      RecipeTexts.problems(#"{"model":{"path":"m"},"data":{"train":[]}}"#) == [
        "r.json:1:31: error[E0105]: data.train must name at least one file"
      ])
  }

  /// Its rows fit the task that was meant, so they are no second mistake.
  @Test func aMisspeltTaskIsOneMistake() {
    let text = #"{"task":"clasification","model":{"path":"m"},"#
      + #""data":{"train":[{"path":"t","format":"classification"}],"labels":["a","b"]}}"#
    #expect(
      RecipeTexts.problems(text) == [
        #"r.json:1:2: error[E0106]: task must be "language", "classification" or "image", "#
          + #"found "clasification"; did you mean "classification"?"#
      ])
  }

  @Test func limits() {
    let deep = String(repeating: "[", count: 40)
    #expect(
      RecipeTexts.problems(deep) == ["r.json:1:33: error[E0111]: nested deeper than 32 levels"])
    let large = RecipeTexts.least + String(repeating: " ", count: 1 << 20)
    #expect(
      RecipeTexts.problems(large) == [
        "r.json: error[E0111]: 1048641 bytes are more than the 1048576 of a recipe"
      ])
  }

  /// Advice on each of a megabyte's keys would take minutes.
  @Test func manyProblemsAreCutShort() {
    let keys = (0..<45_000).map { "\"lerningRate\($0)\":0" }.joined(separator: ",")
    #expect(RecipeTexts.problems("{\(keys)}").count == 100)
    let sources = Array(repeating: "{}", count: 100_000).joined(separator: ",")
    #expect(RecipeTexts.problems("{\"data\":{\"train\":[\(sources)]}}").count == 100)
  }

  @Test func files() throws {
    let folder = try TemporaryFolder()
    func message(_ path: String) throws -> String {
      let problems = try #require(throws: Diagnostics.self) { try RecipeLoader.load(path: path) }
      #expect(problems.all.allSatisfy { $0.code.exitCode == .inputMissing })
      return problems.description
    }
    #expect(
      try message("/nowhere/r.json")
        == "/nowhere/r.json: error[E0100]: the recipe does not exist; "
        + "`qlora recipes ls` lists recipes to begin with")
    #expect(
      try message(folder.path(""))
        == "\(folder.path("")): error[E0100]: the recipe is a folder; name a file in it")
    // What the system refuses to open, whoever asks.
    let circle = folder.path("circle.json")
    try FileManager.default.createSymbolicLink(atPath: circle, withDestinationPath: circle)
    let refused = #expect(throws: Diagnostics.self) { try RecipeLoader.load(path: circle) }
    #expect(refused?.all.map(\.code.number) == ["E0202"])
    #expect(refused?.all.map(\.code.exitCode) == [.permission])
  }

  @Test func codesAreDistinctAndExplained() {
    let codes = DiagnosticCode.allRecipeCodes
    #expect(Set(codes.map(\.number)).count == codes.count)
    for code in codes {
      #expect(code.number.hasPrefix("E01") && code.number.count == 5)
      #expect(code.explanation.hasSuffix(".") && !code.explanation.contains("\n"))
    }
  }

  private static func withoutPlace(_ message: String) -> String {
    message.firstRange(of: "error[").map { String(message[$0.lowerBound...]) } ?? message
  }
}
