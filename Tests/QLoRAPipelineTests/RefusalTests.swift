// What must not go on does not, says so with the contract's exit code, and loses nothing.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite struct RefusalTests {
  private func exitCode(_ body: () throws -> Void) -> ExitCode? {
    do {
      try body()
      return nil
    } catch let failure as Diagnostic {
      return failure.code.exitCode
    } catch let failures as Diagnostics {
      return failures.all.first?.code.exitCode
    } catch {
      return .internalError
    }
  }

  /// An interrupted run, before its first step or amid them, with one of its inputs changed.
  @Test(arguments: ["data", "tokenizer", "template", "recipe", "model", "adapter"], [2, 16])
  func resumeRefusesChangedInputs(input: String, polls: Int) throws {
    let tiny = try TinyRun()
    try tiny.train("before", ["training.steps=1"])
    let first = "adapter.initializeFrom=\(tiny.folder.path("before"))"
    _ = try tiny.train("run", [first], interruption: StopAfter(polls: polls).poll)
    try change(input, tiny)
    #expect(exitCode { try tiny.resume("run") } == .resumeRefused)
  }

  private func change(_ input: String, _ tiny: TinyRun) throws {
    func replace(_ name: String, _ old: String, _ new: String) throws {
      let text = String(decoding: try tiny.bytes(name), as: UTF8.self)
      #expect(text.contains(old))
      try tiny.write(name, text.replacing(old, with: new))
    }
    switch input {
    case "data": try tiny.write("train.jsonl", TinyRun.rows(13, seed: 3))
    case "tokenizer":
      try replace("model/tokenizer.json", #""!":3,"\"":4"#, #""!":4,"\"":3"#)
    case "template":
      try replace("model/tokenizer_config.json", "add_generation_prompt", "add_generation_promt")
    case "recipe": try replace("run/recipe.resolved.json", "0.01", "0.02")
    case "adapter": try replace("before/adapter/adapter_config.json", "\"r\": 4", "\"r\":  4")
    default:
      var bytes = try tiny.bytes("model/model.safetensors")
      bytes[bytes.count - 2] ^= 1
      try Data(bytes).write(to: tiny.folder.url.appending(path: "model/model.safetensors"))
    }
  }

  /// PEFT refuses such a folder, whose scale would be another than was trained with.
  @Test func ranksThatContradictTheTensorsAreRefused() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1"])
    let config = "run/adapter/adapter_config.json"
    let text = String(decoding: try tiny.bytes(config), as: UTF8.self)
    let pattern = "\"rank_pattern\": {}"
    #expect(text.contains("\"r\": 4,") && text.contains(pattern))
    let adapter = tiny.folder.path("run/adapter")
    for (changed, isRefused) in [
      (text, false), (text.replacing("\"r\": 4,", with: "\"r\": 8,"), true),
      (text.replacing(pattern, with: "\"rank_pattern\": {\"layers.0.*q_proj\": 2}"), true),
      (
        text.replacing("\"r\": 4,", with: "\"r\": 8,")
          .replacing(pattern, with: "\"rank_pattern\": {\".*_proj\": 4}"), false
      ),
    ] {
      try tiny.write(config, changed)
      for reading in [
        { try Pipeline.exportAdapter(adapter, to: tiny.folder.path("made")) },
        { _ = try Pipeline.inspect(path: adapter, verify: false) },
      ] {
        let found = failure(reading)
        #expect(found?.code.number == (isRefused ? "E0272" : nil), "\(changed)")
      }
      if !isRefused { try FileManager.default.removeItem(atPath: tiny.folder.path("made")) }
    }
  }

  /// A bit that keeps every number finite, in each folder that is written with a manifest.
  @Test func changedBytesAreFoundByTheManifest() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1"])
    let adapter = tiny.folder.path("run/adapter")
    try Pipeline.merge(
      model: nil, adapter: adapter, base: .original, dtype: .float32,
      to: tiny.folder.path("merged"))
    let newest = try #require(
      try CheckpointStore(tiny.folder.path("run/checkpoints")).newestIntact())
    for (folder, name) in [
      (adapter, "adapter_model.safetensors"), (adapter, "README.md"),
      (tiny.folder.path("merged"), "model.safetensors"),
      (newest.path, "adapter_model.safetensors"),
    ] {
      #expect(failure { _ = try Pipeline.inspect(path: folder, verify: true) } == nil)
      let path = folder + "/" + name
      var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
      bytes[bytes.count - 4] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
      let found = failure { _ = try Pipeline.inspect(path: folder, verify: true) }
      #expect(found?.code == .checkpointDamaged, "\(name)")
      #expect(found.map { "\($0)".contains(name) } == true)
      #expect(failure { _ = try Pipeline.inspect(path: folder, verify: false) } == nil)
      bytes[bytes.count - 4] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
    }
  }

  private func failure(_ body: () throws -> Void) -> Diagnostic? {
    do {
      try body()
      return nil
    } catch {
      return error as? Diagnostic
    }
  }

  @Test func aRunIsNoModel() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1"])
    let run = tiny.folder.path("run")
    let found = failure { _ = try Pipeline.inspect(path: run, verify: false) }
    #expect(found?.code.number == "E0250")
    let text = found.map { "\($0)" } ?? ""
    #expect(text.contains("`qlora runs show \(run)`") && text.contains("inspect \(run)/adapter`"))
  }

  @Test func resumeNeedsARun() throws {
    let tiny = try TinyRun()
    for name in ["nothing", "model", "recipe.json"] {
      #expect(exitCode { try tiny.resume(name) } == .inputMissing, "\(name)")
    }
    #expect(!FileManager.default.fileExists(atPath: tiny.folder.path("model/run.lock")))
  }

  @Test func trainRefusesAUsedDirectory() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1"])
    let before = try tiny.result("run")
    #expect(exitCode { try tiny.train("run") } == .outputExists)
    #expect(try tiny.result("run") == before)
    // Without its checkpoints there is still a result that must not be lost.
    try FileManager.default.removeItem(atPath: tiny.folder.path("run/checkpoints"))
    #expect(exitCode { try tiny.train("run") } == .outputExists)
    #expect(exitCode { try tiny.train("recipe.json") } == .outputExists)
    try tiny.write("model/metrics.jsonl", "mine\n")
    #expect(exitCode { try tiny.train("model") } == .outputExists)
    #expect(try tiny.bytes("model/metrics.jsonl") == Array("mine\n".utf8))
  }

  @Test func trainTakesOverAnEmptyDirectoryAndAKilledStart() throws {
    let tiny = try TinyRun()
    for name in ["checkpoints", ""] {
      let path = tiny.folder.path("run/\(name)")
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    try tiny.write("run/notes.txt", "mine\n")
    try tiny.train("run")
    #expect(try tiny.bytes("run/notes.txt") == Array("mine\n".utf8))
    _ = try tiny.train("killed", interruption: StopAfter(polls: 8).poll)
    try FileManager.default.removeItem(atPath: tiny.folder.path("killed/checkpoints"))
    try tiny.train("killed")
    #expect(try tiny.result("killed") == tiny.result("run"))
  }

  @Test func oneProcessPerRun() throws {
    let tiny = try TinyRun()
    _ = try tiny.train("run", interruption: StopAfter(polls: 8).poll)
    let lock = try RunLock(tiny.folder.path("run"))
    #expect(exitCode { try tiny.resume("run") } == .outputExists)
    #expect(exitCode { try tiny.train("run") } == .outputExists)
    withExtendedLifetime(lock) {}
  }

  @Test func aFailedStartLeavesNothing() throws {
    let tiny = try TinyRun()
    try tiny.write("train.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n")
    #expect(exitCode { try tiny.train("run") } == .badData)
    #expect(!FileManager.default.fileExists(atPath: tiny.folder.path("run")))
  }

  /// The elements of a norm and of a linear; `raw` is little-endian.
  @Test(arguments: ["model.norm.weight", "model.layers.1.mlp.up_proj.weight"])
  func weightsMustBeFinite(name: String) throws {
    let tiny = try TinyRun()
    var bytes = try tiny.bytes("model/model.safetensors")
    let headerCount = (0..<8).reduce(0) { $0 | Int(bytes[$1]) << (8 * $1) }
    let header = try JSONValue(parsing: bytes[8..<8 + headerCount])
    let start = try #require(header[name]?["data_offsets"]?.arrayValue?.first?.intValue)
    let offset = 8 + headerCount + start
    bytes.replaceSubrange(offset..<offset + 4, with: [0, 0, 0xC0, 0x7F])
    try Data(bytes).write(to: tiny.folder.url.appending(path: "model/model.safetensors"))
    do {
      try tiny.train("run")
      Issue.record("trained on a NaN")
    } catch let failure as Diagnostic {
      #expect(failure.code.exitCode == .badData)
      #expect(failure.location == .tensor(file: tiny.modelPath, name: name))
    }
    #expect(!FileManager.default.fileExists(atPath: tiny.folder.path("run")))
  }

  @Test func digestsCanBePinned() throws {
    let tiny = try TinyRun()
    #expect(exitCode { try tiny.train("run", ["digests.model=abc"]) } == .resumeRefused)
    #expect(exitCode { try tiny.train("run", ["digests.modle=abc"]) } == .resumeRefused)
    try tiny.train("run", ["training.steps=1"])
    let saved = try JSONValue(parsing: try tiny.bytes("run/recipe.resolved.json"))
    let model = try #require(saved["digests"]?["model"]?.stringValue)
    try tiny.train("again", ["training.steps=1", "digests.model=\(model)"])
  }

  @Test func aDivergedRunEndsWith80() throws {
    let tiny = try TinyRun()
    let error = #expect(throws: Diagnostic.self) {
      try tiny.train("run", ["training.optimizer.learningRate=1e30", "training.maxGradientNorm=0"])
    }
    #expect(error?.code.exitCode == .diverged)
    // Where and on what: the first module with such values, and the rows of the micro-batch.
    let what = error?.message ?? ""
    #expect(what.contains("first behind model.layers.0 (of train.jsonl: row "), "\(what)")
    let newest = try CheckpointStore(tiny.folder.path("run/checkpoints")).newestIntact()
    #expect((newest?.step ?? 0) < 7)
  }
}
