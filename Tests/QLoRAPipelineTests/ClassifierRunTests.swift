// Runs of the task classification, from rows to classes.
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

@Suite struct ClassifierRunTests {
  /// The code of what a body throws.
  private func code(_ body: () throws -> Void) -> DiagnosticCode? {
    do {
      try body()
    } catch let failure as Diagnostic {
      return failure.code
    } catch let failures as Diagnostics {
      return failures.all.first?.code
    } catch {}
    return nil
  }

  /// A word that says the class is learnt, and what was learnt survives export, reading and
  /// merging.
  @Test(arguments: ["bert", "roberta", "llama"])
  func separatesTwoClasses(name: String) throws {
    let tiny = try ClassifierRun(name)
    try tiny.train("run")
    let file = tiny.folder.path("validation.jsonl")
    let report = try Pipeline.evaluateClasses(
      tiny.base(adapter: "run"), file: file, limit: nil
    ) { _ in }
    #expect(report.rows == 20 && report.accuracy >= 0.9 && report.macroF1 >= 0.85)
    #expect(report.lines.map(\.label) == ["bad", "good"])
    let logged = try TinyResult.metrics(tiny.folder.path("run")).last { $0.contains("evalLoss") }
    let last = try JSONValue(parsing: try #require(logged))
    #expect(last["evalAccuracy"]?.doubleValue == report.accuracy)
    #expect(abs((last["evalLoss"]?.doubleValue ?? 0) - report.loss) <= 1e-5)

    let texts: [(text: String, pair: String?)] = [
      ("a good film", nil), ("the dull plot", "the story"),
    ]
    let trained = try LoadedClassifier.load(tiny.base(adapter: "run"))
    let found = try Pipeline.classify(trained, texts)
    #expect(found.map(\.label) == ["good", "bad"])

    try Pipeline.merge(
      model: nil, adapter: tiny.folder.path("run"), base: .decoded, dtype: .float32,
      to: tiny.folder.path("merged"))
    let merged = try LoadedClassifier.load(
      tiny.base(tiny.folder.path("merged"), adapter: nil))
    #expect(merged.labels.names == ["bad", "good"])
    for (one, other) in zip(found, try Pipeline.classify(merged, texts)) {
      for (left, right) in zip(one.probabilities, other.probabilities) {
        #expect(left.label == right.label && abs(left.probability - right.probability) <= 1e-4)
      }
    }
    let config = try ModelConfig.json(configPath: tiny.folder.path("merged/config.json"))
    #expect(config["id2label"]?["1"]?.stringValue == "good")
    #expect(config["label2id"]?["good"]?.intValue == 1)
    let architecture = config["architectures"]?.arrayValue?.first?.stringValue
    #expect(architecture?.hasSuffix("ForSequenceClassification") == true)
  }

  /// Stopped anywhere and resumed, a run ends with the same bits, whatever the threads.
  @Test(arguments: ["bert", "llama"])
  func resumesToTheSameBits(name: String) throws {
    let tiny = try ClassifierRun(name)
    let settings = ["training.steps=6", "training.evalEvery=2", "training.saveEvery=2"]
    try tiny.train("whole", settings)
    let expected = try TinyResult(tiny.folder.path("whole"))
    for polls in [3, 8, 14, 19, 25] {
      let output = "cut-\(polls)"
      let stop = StopAfter(polls: polls)
      try tiny.train(output, settings + ["threads=\(polls % 3 + 1)"], interruption: stop.poll)
      #expect(stop.hasFired)
      _ = try Pipeline.resume(runDirectory: tiny.folder.path(output)) { _ in }
      #expect(try TinyResult(tiny.folder.path(output)) == expected, "after \(polls) polls")
    }
  }

  @Test func adapterFilesAreThoseOfPEFT() throws {
    let tiny = try ClassifierRun("roberta")
    try tiny.train("run", ["training.steps=2"])
    let adapter = try PEFTAdapter.read(tiny.folder.path("run/adapter"))
    #expect(adapter.config.taskType == "SEQ_CLS" && adapter.config.modulesToSave == ["classifier"])
    #expect(
      adapter.saved.map(\.name).sorted() == [
        "classifier.dense.bias", "classifier.dense.weight", "classifier.out_proj.bias",
        "classifier.out_proj.weight",
      ])
    // `dense` would name a linear of the head too.
    guard case .list(let targets) = adapter.config.targets else {
      Issue.record("targets are no list")
      return
    }
    #expect(targets.allSatisfy { $0.hasPrefix("roberta.encoder.layer.") } && targets.count == 12)
    let held = try JSONValue(
      parsing: try PosixFileSystem().readAll(tiny.folder.path("run/adapter/qlora.json")))
    #expect(held["labels"]?.arrayValue?.map(\.stringValue) == ["bad", "good"])
    let opened = try AdapterFolder.open(tiny.folder.path("run/adapter"))
    #expect(opened.labels == ["bad", "good"])
    let report = try Pipeline.inspect(path: tiny.folder.path("run/adapter"), verify: true)
    #expect(report.facts.contains { $0.name == "labels" })
  }

  /// A later run begins with the adapter and the head of an earlier one.
  @Test func goesOnFromAnAdapter() throws {
    let tiny = try ClassifierRun()
    try tiny.train("first", ["training.steps=20"])
    try tiny.train(
      "second",
      [
        "training.steps=1", "training.optimizer.learningRate=0",
        "adapter.initializeFrom=\(tiny.folder.path("first"))",
      ])
    let tensors = try ["first", "second"].map {
      try PEFTAdapter.read(tiny.folder.path("\($0)/adapter")).tensors()
        .map { "\($0.name) \($0.tensor.floats())" }.sorted()
    }
    #expect(tensors[0] == tensors[1])
  }

  @Test func planPreviewAndChecksKnowTheTask() throws {
    let tiny = try ClassifierRun()
    let plan = try Pipeline.plan(try tiny.recipe("run"))
    // Rank 4 on twelve linears and the pooler, and a head for two classes.
    let lora = 2 * (4 * 4 * (32 + 32) + 2 * 4 * (32 + 48)) + 4 * (32 + 32)
    #expect(plan.trainableParameters == lora + 2 * 32 + 2)
    #expect(plan.report.labelledTokens == 60)
    let lines = try Pipeline.preview(try tiny.recipe("run"), count: 1).sequences
    #expect(lines.first?.line.json["classes"]?.arrayValue?.isEmpty == false)
    #expect(lines.first?.rows.allSatisfy { ["bad", "good"].contains($0.label) } == true)
    try tiny.write(
      "recipe.json",
      ClassifierRun.recipe.replacing(
        "\"maxTokens\": 40", with: "\"maxTokens\": 40, \"trainOn\": \"last-assistant\""))
    #expect(code { _ = try tiny.recipe("run") } == .recipeContradiction)
  }

  @Test func labelsMayBeNumbersOrNamed() throws {
    let tiny = try ClassifierRun()
    try tiny.write("train.jsonl", ClassifierRun.rows(12, seed: 3, labels: ["0", "1"]))
    try tiny.write("validation.jsonl", ClassifierRun.rows(4, seed: 4, labels: ["0", "1"]))
    try tiny.train("numbers", ["training.steps=1"])
    #expect(try AdapterFolder.open(tiny.folder.path("numbers")).labels == ["0", "1"])
    try tiny.train("names", ["training.steps=1", "data.labels=[\"no\", \"yes\", \"perhaps\"]"])
    #expect(try AdapterFolder.open(tiny.folder.path("names")).labels == ["no", "yes", "perhaps"])
  }

  @Test func slipsAreRefused() throws {
    let tiny = try ClassifierRun()
    try tiny.write("validation.jsonl", "{\"text\": \"good\", \"label\": \"fine\"}\n")
    #expect(code { try tiny.train("a") } == .unknownLabel)
    try tiny.write("train.jsonl", "{\"text\": \"good\", \"label\": \"good\"}\n")
    #expect(code { try tiny.train("b") } == .tooFewLabels)
    try tiny.write("train.jsonl", "{\"text\": \"good\"}\n")
    #expect(code { try tiny.train("c") } == .rowShape)
    try tiny.write("train.jsonl", ClassifierRun.rows(8, seed: 1))
    try tiny.write("validation.jsonl", ClassifierRun.rows(4, seed: 1))
    #expect(
      code { try tiny.train("d", ["adapter.modulesToSave=[\"lm_head\"]"]) } == .taskUnsupported)
    #expect(code { try tiny.train("e", ["task=language"]) } == .recipeContradiction)
    try tiny.train("run", ["training.steps=1"])
    #expect(
      code {
        _ = try Pipeline.generate(tiny.base(adapter: "run"), GenerationOptions()) { _ in }
      } == .taskUnsupported)
    #expect(
      code {
        try Pipeline.exportGGUFAdapter(
          tiny.folder.path("run"), model: nil, type: .f32, to: tiny.folder.path("x.gguf"))
      } == .taskUnsupported)
    #expect(code { _ = try LoadedClassifier.load(tiny.base(adapter: nil)) } == .headMissing)
    let served = NamedAdapter(argument: tiny.folder.path("run"))
    #expect(
      code { _ = try Pipeline.loadSwitched(tiny.base(adapter: nil), [served]) } == .taskUnsupported)
  }

  /// A pooler that files lack can be trained with the head.
  @Test func poolersMayBeTrained() throws {
    let tiny = try ClassifierRun()
    let source = try SafetensorsFile(path: tiny.folder.path("model/model.safetensors"))
    let kept = try source.entries.filter { !$0.name.contains("pooler") }.map {
      (name: $0.name, tensor: Tensor(try source.readTensor($0.name).floats(), shape: $0.shape))
    }
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(kept) { bytes += $0 }
    try Data(bytes).write(to: tiny.folder.url.appending(path: "model/model.safetensors"))
    #expect(code { try tiny.train("a") } == .poolerMissing)
    try tiny.train(
      "run", ["adapter.modulesToSave=[\"classifier\", \"pooler\"]", "training.steps=2"])
    let adapter = try AdapterFolder.open(tiny.folder.path("run")).adapter
    #expect(adapter.saved.contains { $0.name == "bert.pooler.dense.weight" })
    _ = try Pipeline.classify(
      try LoadedClassifier.load(tiny.base(adapter: "run")), [("good", nil)])
  }
}
