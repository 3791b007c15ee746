// Runs whose embedding, head and norms are trained as a whole beside the adapter.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRAPipeline
import QLoRARecipe
import QLoRATensor
import TestSupport
import Testing

@Suite struct SavedModulesRunTests {
  private static let modules = #"adapter.modulesToSave=["embed_tokens","lm_head","norm"]"#

  /// Stopped anywhere and resumed, a run ends with the same bits, whatever the threads.
  @Test func resumesToTheSameBits() throws {
    let tiny = try TinyRun()
    try tiny.train("whole", [Self.modules])
    let expected = try tiny.result("whole")
    for polls in [5, 11, 17] {
      let output = "cut-\(polls)"
      let stop = StopAfter(polls: polls)
      try tiny.train(
        output, [Self.modules, "threads=\(polls % 3 + 1)"], interruption: stop.poll)
      #expect(stop.hasFired)
      try tiny.resume(output)
      #expect(try tiny.result(output) == expected, "after \(polls) polls")
    }
  }

  @Test func filesAreThoseOfPEFT() throws {
    let tiny = try TinyRun()
    try tiny.train("run", [Self.modules, "training.steps=2"])
    let adapter = try PEFTAdapter.read(tiny.folder.path("run/adapter"))
    #expect(adapter.config.modulesToSave == ["embed_tokens", "lm_head", "norm"])
    #expect(adapter.config.taskType == "CAUSAL_LM")
    let names = Set(adapter.saved.map(\.name))
    #expect(names.isSuperset(of: ["model.embed_tokens.weight", "lm_head.weight"]))
    #expect(names.contains("model.norm.weight") && adapter.config.targets != .list(["norm"]))
    #expect(names.contains("model.layers.0.post_attention_layernorm.weight"))
    // They were trained: what is saved is not the base's.
    let base = try ModelSource.open(tiny.modelPath)
    for (name, tensor) in adapter.saved {
      #expect(tensor.floats() != (try base.weights.tensor(name).floats()), "\(name)")
    }
  }

  /// A plan counts them, with their gradients and states.
  @Test func planCountsThem() throws {
    let tiny = try TinyRun()
    let plain = try Pipeline.plan(try tiny.recipe("run"))
    let plan = try Pipeline.plan(try tiny.recipe("run", [Self.modules]))
    let config = try ModelConfig(configPath: tiny.folder.path("model/config.json"))
    let more = config.savableModules.flatMap(\.tensors).reduce(0) { $0 + $1.shape.count }
    #expect(plan.trainableParameters == plain.trainableParameters + more)
    #expect(plan.memory.adapterBytes - plain.memory.adapterBytes == 4 * more)
    #expect(plan.memory.optimizerBytes > plain.memory.optimizerBytes)
  }

  /// Merged by either base, a model predicts what base and adapter do; where its head was tied, it
  /// is tied no longer.
  @Test(arguments: [true, false], ["embed_tokens", "lm_head", "norm"])
  func mergesToTheSameLoss(isTied: Bool, module: String) throws {
    let tiny = try TinyRun()
    if isTied { try tiny.tieHead() }
    try tiny.train(
      "run", ["adapter.modulesToSave=[\"\(module)\"]", "training.steps=3"])
    try Pipeline.merge(
      model: nil, adapter: tiny.folder.path("run"), base: .decoded, dtype: .float32,
      to: tiny.folder.path("merged"))
    func logits(_ model: String, _ adapter: String?) throws -> [Float] {
      let folder = try adapter.map { try AdapterFolder.open(tiny.folder.path($0)) }
      var options = folder?.load ?? LoadOptions(quantization: nil)
      options.computeDType = .float32
      let loaded = try LoadedModel.load(
        ModelRequest(path: tiny.folder.path(model), load: options, threads: 1))
      if let folder { try loaded.model.addAdapters(folder.adapter) }
      return loaded.model.logits(TokenBatch(length: 7, total: 7)).floats()
    }
    let (merged, adapted) = (try logits("merged", nil), try logits("model", "run"))
    #expect(zip(merged, adapted).allSatisfy { abs($0 - $1) <= 1e-4 })
    let config = try ModelConfig(configPath: tiny.folder.path("merged/config.json"))
    #expect(config.tiesEmbeddings == (isTied && module == "norm"))
  }

  /// A later run begins with the modules of an earlier one, and cannot choose others.
  @Test func goesOnFromAnAdapter() throws {
    let tiny = try TinyRun()
    try tiny.train("first", [Self.modules, "training.steps=3"])
    let further = [
      "training.steps=1", "training.optimizer.learningRate=0",
      "adapter.initializeFrom=\(tiny.folder.path("first"))",
    ]
    try tiny.train("second", further)
    let tensors = try ["first", "second"].map {
      try PEFTAdapter.read(tiny.folder.path("\($0)/adapter")).tensors()
        .map { "\($0.name) \($0.tensor.floats())" }.sorted()
    }
    #expect(tensors[0] == tensors[1])
    #expect(throws: Diagnostic.self) {
      try tiny.train("third", further + [#"adapter.modulesToSave=["norm"]"#])
    }
  }
}

extension TinyRun {
  /// The same model with one table for embedding and head.
  func tieHead() throws {
    let path = folder.url.appending(path: "model/config.json")
    let text = try String(contentsOf: path, encoding: .utf8)
    try Data(
      text.replacingOccurrences(
        of: #""tie_word_embeddings": false"#, with: #""tie_word_embeddings": true"#
      ).utf8
    ).write(to: path)
  }
}
