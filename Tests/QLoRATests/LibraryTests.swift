// The library as somebody else's program uses it: nothing but `import QLoRA`.
import Foundation
import QLoRA
import TestSupport
import Testing

@Suite struct LibraryTests {
  private let folder: TemporaryFolder

  /// The smallest model there is, with a tokenizer of 320 tokens, and rows.
  init() throws {
    folder = try TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path("model"), withIntermediateDirectories: true)
    for name in [
      "tiny-llama/config.json", "tiny-llama/generation_config.json",
      "tiny-llama/model.safetensors", "tiny-chat/tokenizer.json",
      "tiny-chat/tokenizer_config.json",
    ] {
      try FileManager.default.copyItem(
        atPath: Goldens.path(name),
        toPath: folder.path("model/\(name.split(separator: "/")[1])"))
    }
    let rows = ["door", "light", "song"].map {
      """
      {"messages":[{"role":"user","content":"the \($0)"},{"role":"assistant","content":"on"}]}

      """
    }
    try Data(rows.joined().utf8).write(to: folder.url.appending(path: "rows.jsonl"))
  }

  private func recipe(_ output: String) -> TrainingRecipe {
    var recipe = TrainingRecipe(
      model: folder.path("model"), rows: [folder.path("rows.jsonl")], name: "tiny")
    recipe.set("training.steps", to: 4)
    recipe.set("training.optimizer.learningRate", to: 1e-2)
    recipe.set("model.computeDType", to: "float32")
    recipe.set("adapter.targets", to: ["q_proj", "v_proj"])
    recipe.set("data.packing", to: false)
    recipe.set("output", to: .string(folder.path(output)))
    return recipe
  }

  @Test func trainsAndAnswers() throws {
    var losses: [Double] = []
    let result = try recipe("run").train { progress in
      if case .step(_, let loss, _) = progress { losses.append(loss) }
    }
    #expect(result.steps == 4 && losses.count == 4 && result.loss == losses.last)
    #expect(try #require(losses.last) < losses[0])
    let adapter = try #require(result.adapter)
    let config = try String(contentsOfFile: adapter + "/adapter_config.json", encoding: .utf8)
    let targets = try #require(config.firstMatch(of: /"target_modules": *\[([^\]]*)\]/)).output.1
    #expect(targets.filter { !$0.isWhitespace } == #""q_proj","v_proj""#)
    let model = try LanguageModel(folder.path("model"), adapter: adapter, threads: 1)
    var pieces = ""
    let answer = try model.answer("the door", maxTokens: 5) { pieces += $0 }
    #expect(answer == pieces)
    let evaluation = try model.evaluate(folder.path("rows.jsonl"))
    #expect(evaluation.rows == 3 && evaluation.exactMatch == nil && evaluation.loss > 0)
    let bare = try LanguageModel(folder.path("model"), weights: .quantized(.nf4))
    #expect(try bare.evaluate(folder.path("rows.jsonl")).loss > evaluation.loss)
  }

  @Test func stopsAndResumes() throws {
    let whole = try recipe("whole").train()
    var steps = 0
    let stopped = try recipe("cut").train { progress in
      if case .step = progress { steps += 1 }
    } shouldStop: {
      steps == 2
    }
    #expect(stopped.adapter == nil && stopped.steps == 2)
    let resumed = try TrainingRecipe.resume(run: stopped.run)
    let adapters = try [whole, resumed].map { result in
      try Data(
        contentsOf: URL(
          filePath: try #require(result.adapter) + "/adapter_model.safetensors"))
    }
    #expect(adapters[0] == adapters[1])
  }

  @Test func tellsAllMistakesAtOnce() {
    var recipe = recipe("run")
    recipe.set("training.lerningRate", to: 1)
    recipe.set("adapter.rank", to: -1)
    let failure = #expect(throws: Diagnostics.self) { try recipe.check() }
    #expect(failure?.all.map(\.code.number).sorted() == ["E0102", "E0105"])
  }

  /// Nothing of that name was fetched, so each says how to fetch it.
  @Test func looksUpModelsOfTheHub() {
    let name = "qlora-tests/fetched-by-nobody"
    let recipe = TrainingRecipe(model: name, rows: [folder.path("rows.jsonl")], name: "hub")
    let failures = #expect(throws: Diagnostics.self) { try recipe.check() }
    #expect(failures?.all.map { $0.remedy?.contains("qlora download \(name)") } == [true])
    for failure in [
      #expect(throws: Diagnostic.self, performing: { _ = try LanguageModel(name) }),
      #expect(throws: Diagnostic.self) {
        _ = try ModelFolder.quantize(name, to: folder.path("out"))
      },
    ] {
      #expect(failure?.remedy?.contains("qlora download \(name)") == true)
    }
  }

  @Test func quantizesAndGoesBack() throws {
    _ = try ModelFolder.quantize(folder.path("model"), to: folder.path("nf4"), as: .nf4)
    try ModelFolder.dequantize(folder.path("nf4"), to: folder.path("plain"))
    let plain = try LanguageModel(folder.path("plain"))
    #expect(try plain.evaluate(folder.path("rows.jsonl")).rows == 3)
  }
}
