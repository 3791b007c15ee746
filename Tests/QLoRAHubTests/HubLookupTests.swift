// Arguments that name what is in the cache, without a server.
import Foundation
import QLoRADiagnostics
import QLoRAHub
import TestSupport
import Testing

@Suite struct HubLookupTests {
  private let folder: TemporaryFolder
  private let environment: [String: String]
  private static let commit = String(repeating: "ab", count: 20)

  init() throws {
    folder = try TemporaryFolder()
    environment = ["HF_HUB_CACHE": folder.path("hub")]
  }

  private func put(_ repository: String, _ names: [String], revision: String = "main") throws {
    let root = folder.path("hub/\(repository)")
    for path in ["refs/\(revision)"] + names.map({ "snapshots/\(Self.commit)/\($0)" }) {
      let url = URL(filePath: root + "/" + path)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(path.hasPrefix("refs") ? Self.commit.utf8 : "{}".utf8).write(to: url)
    }
  }

  private func place(_ argument: String) throws -> String {
    try HubCache.place(of: argument, environment: environment)
  }

  private func code(_ argument: String) -> DiagnosticCode? {
    do {
      _ = try place(argument)
      return nil
    } catch {
      return (error as? Diagnostic)?.code
    }
  }

  @Test func modelsAreFoundByName() throws {
    try put("models--org--name", ["config.json", "model.safetensors", "x.gguf"])
    let snapshot = folder.path("hub/models--org--name/snapshots/\(Self.commit)")
    #expect(try place("org/name") == snapshot)
    #expect(try place("org/name@\(Self.commit)") == snapshot)
    #expect(try place("hf://org/name/x.gguf") == snapshot + "/x.gguf")
    #expect(HubCache.repositoryName(of: snapshot) == "org/name")
    #expect(HubCache.repositoryName(of: snapshot + "/x.gguf") == "org/name")
    #expect(HubCache.repositoryName(of: folder.path("org/name")) == nil)
    #expect(code("org/name@other") == .hubNotCached)
    #expect(code("hf://org/name/y.gguf") == .hubNotCached)
  }

  @Test func theOneModelFileIsMeant() throws {
    try put("models--org--one", ["config.json", "a.gguf"])
    #expect(try place("org/one").hasSuffix("/a.gguf"))
    try put("models--org--two", ["a.gguf", "b.gguf"])
    #expect(code("org/two") == .hubNothingChosen)
    try put("models--gpt2", ["config.json"])
    #expect(try place("gpt2").hasSuffix(Self.commit))
  }

  @Test func rowsAreNamedWithTheirFile() throws {
    try put("datasets--org--rows", ["data/train.jsonl"])
    #expect(try place("hf://datasets/org/rows/data/train.jsonl").hasSuffix("/data/train.jsonl"))
    #expect(code("org/rows") == .hubNotCached)
  }

  @Test func whatIsNotThereIsNamedWithItsCommand() throws {
    do {
      _ = try place("org/name@v2")
      Issue.record("found")
    } catch {
      let text = (error as? Diagnostic)?.description ?? ""
      #expect(text.contains("`qlora download org/name@v2`"))
    }
    #expect(code("hf://datasets/x") == .hubNotCached)
    #expect(code("hf://a/../b") == .hubReferenceInvalid)
    // Paths stay what they are, there or not.
    for path in [
      "/no/such", "./no", "model.gguf", "a/b/c", folder.path("x"), "Models/FLUX.1-dev",
      "runs/first", "org/model.gguf",
    ] {
      #expect(try place(path) == path)
    }
  }
}
