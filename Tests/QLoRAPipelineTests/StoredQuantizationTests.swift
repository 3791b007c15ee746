// A base that comes quantized: a run says of it what it is.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct StoredQuantizationTests {
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  private func quantize(_ quantization: WeightQuantization, to name: String) throws -> String {
    var options = QuantizationOptions()
    options.quantization = quantization
    _ = try Pipeline.quantize(model: tiny.modelPath, options, to: tiny.folder.path(name))
    return "model.path=\(tiny.folder.path(name))"
  }

  private func quantization(_ file: String) throws -> JSONValue? {
    let json = try JSONValue(parsing: try tiny.bytes(file))
    return json["quantization"] ?? json["model"]?["quantization"]
  }

  private func loss(_ model: String, quantization: String? = nil) throws -> Double {
    try Pipeline.evaluate(
      BaseOptions(
        model: tiny.folder.path(model), adapter: tiny.folder.path("run"),
        quantization: quantization, computeDType: nil, threads: 1),
      EvaluationRequest(source: .init(path: tiny.dataPath, format: .messages))
    ) { _, _ in }.total.lossSum
  }

  @Test func whatTheFolderHoldsIsOnRecord() throws {
    let path = try quantize(.int8(Int8Spec(threshold: 3)), to: "eight")
    try tiny.train("run", [path, "training.steps=2"])
    for file in ["run/recipe.resolved.json", "run/adapter/qlora.json"] {
      let found = try quantization(file)
      #expect(found?["type"]?.stringValue == "int8", "\(file)")
      #expect(found?["threshold"]?.doubleValue == 3, "\(file)")
    }
    let card = String(decoding: try tiny.bytes("run/adapter/README.md"), as: UTF8.self)
    #expect(card.contains("| base in training | int8, threshold 3.0 |"))
    // So the plain model is held as the run had it.
    #expect(try loss("model") == loss("eight"))
    #expect(try loss("eight", quantization: "int8") == loss("eight"))
  }

  @Test func blocksAndScalesAreTheFolders() throws {
    let spec = QuantizationSpec(type: .fp4, blockSize: 32, doubleQuantized: false)
    let path = try quantize(.fourBit(spec), to: "four")
    let held = try Pipeline.plan(try tiny.recipe("run", [path])).recipe.recipe.model.quantization
    #expect(held.type == .fp4 && held.blocksize == 32 && !held.doubleQuant)
    try tiny.train("run", [path, "training.steps=2"])
    let found = try quantization("run/adapter/qlora.json")
    #expect(found?["type"]?.stringValue == "fp4" && found?["blocksize"]?.intValue == 32)
    #expect(found?["doubleQuant"]?.boolValue == false)
  }

  @Test(arguments: [
    "type=nf4", "blocksize=64", "doubleQuant=true", #"skip=["q_proj"]"#,
  ])
  func recipesThatSayOtherwiseAreRefused(setting: String) throws {
    let spec = QuantizationSpec(type: .fp4, blockSize: 32, doubleQuantized: false)
    let path = try quantize(.fourBit(spec), to: "four")
    let recipe = try tiny.recipe("run", [path, "model.quantization.\(setting)"])
    for attempt in [
      { _ = try Pipeline.plan(recipe) }, { _ = try Pipeline.train(recipe) { _ in } },
    ] {
      let found = #expect(throws: Diagnostics.self) { try attempt() }
      #expect(found?.all.map(\.code.number) == ["E0108"])
      #expect(found?.all.first?.message.contains("fp4, blocks of 32") == true)
    }
    #expect(!FileManager.default.fileExists(atPath: tiny.folder.path("run")))
  }

  @Test func commandsThatSayOtherwiseAreRefused() throws {
    _ = try quantize(.int8(Int8Spec()), to: "eight")
    try tiny.train("run", ["training.steps=1"])
    let found = #expect(throws: Diagnostic.self) { try loss("eight", quantization: "nf4") }
    #expect(found?.code.number == "E0108" && found?.message.contains("int8") == true)
    #expect(try loss("eight", quantization: "none") == loss("eight", quantization: "int8"))
  }

  /// What a folder has in full precision is quantized neither in training nor afterwards, whether
  /// the recipe says nothing or "none".
  @Test(arguments: [[], ["model.quantization.type=none"]])
  func whatTheFolderSkipsStaysPlain(settings: [String]) throws {
    var options = QuantizationOptions()
    options.skip = ["q_proj"]
    _ = try Pipeline.quantize(model: tiny.modelPath, options, to: tiny.folder.path("four"))
    let path = "model.path=\(tiny.folder.path("four"))"
    try tiny.train("run", settings + [path, "training.steps=2"])
    let held = try quantization("run/recipe.resolved.json")
    #expect(held?["type"]?.stringValue == "nf4")
    let skipped = held?["skip"]?.arrayValue?.compactMap(\.stringValue) ?? []
    #expect(skipped.count == 2 && skipped.allSatisfy { $0.hasSuffix(".self_attn.q_proj") })
    try tiny.train("way", [#"model.quantization.skip=["q_proj"]"#, "training.steps=2"])
    #expect(try tiny.result("run").metrics == tiny.result("way").metrics)
    #expect(try loss("model") == loss("four"))
  }
}
