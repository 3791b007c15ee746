// Runs of models that read one text and write another, from rows to answers.
import Foundation
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRAPipeline
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

/// A folder with a golden T5 and rows whose answer is the second word of the prompt.
private struct ReadingRun {
  static let names = ["t5", "t5-gated"]

  let folder: TemporaryFolder

  init(_ name: String) throws {
    folder = try TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path("model"), withIntermediateDirectories: true)
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        atPath: Goldens.path("seq2seq/\(name)/\(file)"), toPath: folder.path("model/\(file)"))
    }
    try write("train.jsonl", Self.rows(60, seed: 1))
    try write("validation.jsonl", Self.rows(12, seed: 2))
    try write("recipe.json", Self.recipe)
  }

  static let recipe = """
    {
      "model": { "path": "model", "computeDType": "float32" },
      "adapter": { "rank": 4, "alpha": 8 },
      "data": {
        "train": [{ "path": "train.jsonl", "format": "prompt-completion" }],
        "validation": [{ "path": "validation.jsonl", "format": "prompt-completion" }],
        "maxTokens": 48
      },
      "training": {
        "steps": 250, "batchSize": 2, "evalEvery": 25, "saveEvery": 50,
        "optimizer": { "learningRate": 1e-2 }
      },
      "threads": 2
    }
    """

  func write(_ name: String, _ text: String) throws {
    try Data(text.utf8).write(to: folder.url.appending(path: name))
  }

  static func rows(_ count: Int, seed: UInt64) -> String {
    var generator = SeededGenerator(seed: seed)
    let words = ["red", "green", "stone", "river"]
    return (0..<count).map { _ in
      let picked = (0..<Int.random(in: 1...4, using: &generator)).map { _ in
        words.randomElement(using: &generator) ?? ""
      }
      let prompt = "say " + picked.joined(separator: " ")
      return #"{"prompt": "\#(prompt)", "completion": "\#(picked[0])"}"# + "\n"
    }.joined()
  }

  func recipe(_ output: String, _ settings: [String] = []) throws -> ResolvedRecipe {
    try RecipeLoader.load(
      path: folder.path("recipe.json"),
      overrides: try settings.map { try RecipeOverride(argument: $0) }
        + [RecipeOverride("output", .string(folder.path(output)), spelled: "--output")])
  }

  func train(
    _ output: String, _ settings: [String] = [], interruption: @escaping () -> Int32? = { nil }
  ) throws {
    _ = try Pipeline.train(try recipe(output, settings), interruption: interruption) { _ in }
  }

  func load(_ model: String, adapter: String?) throws -> LoadedModel {
    let opened = try adapter.map { try AdapterFolder.open(folder.path($0)) }
    var options = opened?.load ?? LoadOptions(quantization: nil)
    options.computeDType = .float32
    let loaded = try LoadedModel.load(
      ModelRequest(path: folder.path(model), load: options, threads: 2))
    if let opened { try loaded.model.addAdapters(opened.adapter) }
    return loaded
  }
}

@Suite struct ReadingRunTests {
  /// What was learnt survives export, reading and merging, and is written out.
  @Test(arguments: ReadingRun.names)
  func answersWithTheFirstWord(name: String) throws {
    let tiny = try ReadingRun(name)
    try tiny.train("run")
    var request = EvaluationRequest(
      source: DataSource(
        path: tiny.folder.path("validation.jsonl"), format: .promptCompletion, limit: nil))
    request.measuresExactMatch = true
    request.exampleCount = 2
    let trained = try tiny.load("model", adapter: "run")
    let report = try Evaluator(trained).evaluate(request)
    // One of four words by chance; without an adapter the loss is above 4.
    #expect(report.total.rows == 12 && report.total.exactMatch >= 0.5)
    #expect(report.total.meanNegativeLogLikelihood < 2.5)
    let logged = try TinyResult.metrics(tiny.folder.path("run")).last { $0.contains("evalLoss") }
    let last = try JSONValue(parsing: try #require(logged))
    let loss = report.total.meanNegativeLogLikelihood
    #expect(abs((last["evalLoss"]?.doubleValue ?? 0) - loss) <= 1e-4)
    #expect(report.examples.first?.answer.isEmpty == false)

    try Pipeline.merge(
      model: nil, adapter: tiny.folder.path("run"), base: .decoded, dtype: .float32,
      to: tiny.folder.path("merged"))
    let merged = try Evaluator(tiny.load("merged", adapter: nil)).evaluate(request)
    #expect(abs(merged.total.meanNegativeLogLikelihood - loss) <= 1e-4)
    #expect(merged.total.matches == report.total.matches)

    var options = GenerationOptions()
    options.prompt = "say river"
    options.answer.maxTokens = 6
    let answer = try Generator(trained).generate(options)
    #expect(answer.text == (try Generator(trained).generate(options)).text)
    #expect(!answer.text.isEmpty && answer.promptTokens == 3)
  }

  /// Stopped anywhere and resumed, a run ends with the same bits, whatever the threads.
  @Test(arguments: ReadingRun.names)
  func resumesToTheSameBits(name: String) throws {
    let tiny = try ReadingRun(name)
    let settings = ["training.steps=6", "training.evalEvery=2", "training.saveEvery=2"]
    try tiny.train("whole", settings)
    let expected = try TinyResult(tiny.folder.path("whole"))
    for polls in [14, 19] {
      let output = "cut-\(polls)"
      let stop = StopAfter(polls: polls)
      try tiny.train(output, settings + ["threads=\(polls % 3 + 1)"], interruption: stop.poll)
      #expect(stop.hasFired)
      _ = try Pipeline.resume(runDirectory: tiny.folder.path(output)) { _ in }
      #expect(try TinyResult(tiny.folder.path(output)) == expected, "after \(polls) polls")
    }
  }

  @Test func filesAndPlansKnowTheTask() throws {
    let tiny = try ReadingRun("t5-gated")
    let plan = try Pipeline.plan(try tiny.recipe("run"))
    try tiny.train("run", ["training.steps=1"])
    let adapter = try PEFTAdapter.read(tiny.folder.path("run/adapter"))
    #expect(adapter.config.taskType == "SEQ_2_SEQ_LM")
    #expect(adapter.config.targets == .list(["k", "o", "q", "v", "wi_0", "wi_1", "wo"]))
    let count = adapter.pairs.reduce(0) { $0 + $1.a.count + $1.b.count }
    #expect(plan.trainableParameters == count)
    // Two blocks read with seven linears each, three write with eleven.
    #expect(adapter.pairs.count == 2 * 7 + 3 * 11)
    let card = try String(
      contentsOfFile: tiny.folder.path("run/adapter/README.md"), encoding: .utf8)
    #expect(card.contains("AutoModelForSeq2SeqLM"))
  }

  @Test func whatCannotBeIsRefused() throws {
    let tiny = try ReadingRun("t5")
    try tiny.write("text.jsonl", #"{"text": "red stone"}"# + "\n")
    func code(_ body: () throws -> Void) -> DiagnosticCode? {
      do {
        try body()
      } catch let failure as Diagnostic {
        return failure.code
      } catch let failures as Diagnostics {
        return failures.all.first?.code
      } catch {}
      return nil
    }
    let text = #"data.train=[{"path": "text.jsonl", "format": "text"}]"#
    #expect(code { try tiny.train("text", [text]) } == .rowShape)
    #expect(
      code {
        _ = try Pipeline.exportGGUFModel(
          tiny.folder.path("model"), model: nil, base: .original, type: .f16,
          to: tiny.folder.path("model.gguf"))
      } == .taskUnsupported)
    #expect(
      code {
        try tiny.train("whole", [#"adapter.modulesToSave=["shared"]"#])
      } == .taskUnsupported)
  }

  /// What is read is cut first and keeps its end; both halves of a conversation are found.
  @Test func rowsAreReadAndWritten() throws {
    let tiny = try ReadingRun("t5")
    let text = try ModelText(try ModelSource.open(tiny.folder.path("model")))
    func encode(
      _ json: String, _ format: QLoRAData.RowFormat, maxTokens: Int
    ) throws -> EncodedRow? {
      let encoder = RowEncoder(
        tokenizer: text.tokenizer, template: nil, maxTokens: maxTokens, answerStart: 0)
      var report = EncodingReport()
      let row = DataRow(file: "rows.jsonl", number: 1, value: try JSONValue(parsing: json))
      return try encoder.encode(row, format: format, report: &report).first
    }
    let pair = #"{"prompt": "red stone river", "completion": "blue cloud"}"#
    let row = try #require(try encode(pair, .promptCompletion, maxTokens: 64))
    let (red, blue) = (
      text.tokenizer.encode("red stone river", addSpecialTokens: false),
      text.tokenizer.encode("blue cloud", addSpecialTokens: false)
    )
    #expect(row.tokens == red + [1, 0] + blue + [1])
    #expect(row.labels.filter { $0 != untrainedLabel } == blue + [1])
    #expect(row.secondStart == red.count + 1)
    let chat = #"{"messages": [{"role": "user", "content": "red stone river"}, {"role": "#
      + #""assistant", "content": "blue cloud"}]}"#
    #expect(try encode(chat, .messages, maxTokens: 64)?.tokens == row.tokens)
    let cut = try #require(try encode(pair, .promptCompletion, maxTokens: row.tokens.count - 1))
    #expect(cut.tokens == red.dropLast() + [1, 0] + blue + [1])
  }
}
