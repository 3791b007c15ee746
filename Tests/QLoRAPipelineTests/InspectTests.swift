// What `inspect` says of everything that it takes, and of what it doesn't.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import QLoRATraining
import TestSupport
import Testing

@Suite struct InspectTests {
  let tiny: TinyRun

  init() throws {
    tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1"])
  }

  private func facts(_ path: String) throws -> [String: JSONValue] {
    let report = try Pipeline.inspect(path: path, verify: false)
    return Dictionary(report.facts.map { ($0.name, $0.value) }) { $1 }
  }

  @Test func everythingHasItsSizes() throws {
    let checkpoint = CheckpointStore(tiny.folder.path("run/checkpoints")).path(step: 1)
    try Pipeline.exportGGUFAdapter(
      tiny.folder.path("run"), model: nil, type: .f32, to: tiny.folder.path("lora.gguf"))
    _ = try Pipeline.exportGGUFModel(
      tiny.modelPath, model: nil, base: .original, type: .f16, to: tiny.folder.path("model.gguf"))
    for path in [
      tiny.modelPath, tiny.modelPath + "/model.safetensors", checkpoint,
      tiny.folder.path("run/adapter"), tiny.folder.path("lora.gguf"),
      tiny.folder.path("model.gguf"),
    ] {
      let facts = try facts(path)
      let parameters = try #require(facts["parameters"]?.intValue, "\(path)")
      let stored = try #require(facts["storedBytes"]?.intValue, "\(path)")
      #expect(facts["bytesPerParameter"]?.doubleValue == Double(stored) / Double(parameters))
      let footprint = try #require(facts["memoryFootprintBytes"]?.intValue, "\(path)")
      #expect(footprint > 0 && footprint <= stored, "\(path)")
    }
    let adapter = try tiny.bytes("run/adapter/adapter_model.safetensors").count
    #expect(try facts(tiny.folder.path("run/adapter"))["storedBytes"]?.intValue == adapter)
  }

  @Test func aRecipeIsNoModel() throws {
    let found = #expect(throws: Diagnostic.self) { try facts(tiny.recipePath) }
    #expect(found?.code.number == "E0206" && found?.message.contains("this is JSON") == true)
    #expect(found?.remedy?.contains("inspect takes a model's folder") == true)
  }
}
