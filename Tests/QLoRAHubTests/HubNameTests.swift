// Names, addresses, patterns, digests and places: what needs no server.
import Foundation
import QLoRADiagnostics
import QLoRAHub
import QLoRAJSON
import TestSupport
import Testing

@Suite struct HubNameTests {
  @Test func digestsHaveTheirKnownValues() {
    let empty256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    #expect(FakeHub.hex([], length: 64) == empty256)
    let abc256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    #expect(FakeHub.hex(Array("abc".utf8), length: 64) == abc256)
    // What `git hash-object` prints.
    #expect(FakeHub.hex([], length: 40) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    #expect(
      FakeHub.hex(Array("hello\n".utf8), length: 40) == "ce013625030ba8dba906f756967f9e9ca394464a")
    let million = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
    let million256 = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    #expect(FakeHub.hex(million, length: 64) == million256)
  }

  /// The same in pieces of every size around a block.
  @Test func piecesDoNotMatter() throws {
    let bytes = FakeHub.bytes(1000, seed: 5)
    for length in [40, 64] {
      let kind = try #require(BlobDigest(String(repeating: "0", count: length)))
      for size in [1, 3, 63, 64, 65, 127, 129, 999] {
        var hasher = BlobHasher(like: kind, byteCount: bytes.count)
        for start in stride(from: 0, to: bytes.count, by: size) {
          Array(bytes[start..<min(start + size, bytes.count)]).withUnsafeBytes {
            hasher.update($0)
          }
        }
        #expect(hasher.hex == FakeHub.hex(bytes, length: length))
      }
    }
  }

  @Test(arguments: [
    "http://a b/", "https://", "https://a:0/", "https://a:99999/", "https://user@host/",
    "https://host\\@evil/", "https://höst/", "gopher://a/", "https://a:80x/", "https://[::1",
  ])
  func oddAddressesAreNone(text: String) {
    #expect(HubAddress(text) == nil)
  }

  @Test func addressesAreWhatTheySay() throws {
    let address = try #require(HubAddress("HTTPS://Hub.Example:443/a?b=c#d"))
    #expect(address.text == "https://hub.example/a?b=c" && address.isAllowed)
    #expect(address.appending(["x y", "ä/.."]).path == "/a?b=c/x%20y/%C3%A4%2F..")
    let local = try #require(HubAddress("http://127.0.0.1:8080"))
    #expect(local.isAllowed && local.isLoopback && local.path == "/")
    #expect(HubAddress("http://[::1]:3/")?.isAllowed == true)
    for text in ["http://hub.example/", "http://127.0.0.1.evil/", "http://10.0.0.1/"] {
      #expect(HubAddress(text)?.isAllowed == false)
    }
    #expect(address.redirected(to: "/x")?.text == "https://hub.example/x")
    #expect(address.redirected(to: "//other/x")?.text == "https://other/x")
    #expect(address.redirected(to: "//other@x/") == nil)
  }

  @Test func referencesAreRead() throws {
    let plain = try #require(HubReference("org/name"))
    #expect(plain.id == "org/name" && plain.revision == "main" && plain.file == nil)
    #expect(plain.folderName == "models--org--name")
    #expect(HubReference("org/name@v1.0")?.revision == "v1.0")
    #expect(HubReference("org/name@refs/pr/1")?.revision == "refs/pr/1")
    let rows = try #require(HubReference("hf://datasets/org/rows@abc/data/a.jsonl"))
    #expect(rows.kind == .dataset && rows.id == "org/rows" && rows.revision == "abc")
    #expect(rows.file == "data/a.jsonl" && rows.folderName == "datasets--org--rows")
    #expect(HubReference("hf://org/name/m.gguf")?.file == "m.gguf")
    for text in [
      "/abs/path", "../up", "./here", "a/b/c", "a--b/c", "org/na me", "org/", "/name", "", "org/..",
      "org/name@", "org/name@..", "hf://org/name/../x", "hf://", "org/-x", "org/x.",
    ] {
      #expect(HubReference(text) == nil, "\(text)")
    }
  }

  @Test func patternsMatchAsTheHubsLibraryDoes() {
    let right = [
      ("*.json", "a.json"), ("*.json", "a/b.json"), ("a?c", "abc"), ("[ab].x", "b.x"),
      ("[!ab].x", "c.x"), ("[a-c]*", "beta"), ("*Q4*.gguf", "m.Q4_K.gguf"), ("*", ""),
      ("a*b*c", "aXbbYc"),
    ]
    for (pattern, name) in right { #expect(Glob.matches(pattern, name), "\(pattern) \(name)") }
    let wrong = [
      ("*.json", "a.jsonl"), ("a?c", "ac"), ("[ab].x", "c.x"), ("[!ab].x", "a.x"), ("", "a"),
      ("a*b", "ac"), ("[", "a"),
    ]
    for (pattern, name) in wrong { #expect(!Glob.matches(pattern, name), "\(pattern) \(name)") }
  }

  private func chosen(_ names: [String], _ choice: FileChoice = FileChoice()) throws -> [String] {
    let listing = try HubListing(answer: FakeHub.bare(names), place: "")
    return try choice.files(of: listing, .model).map(\.name)
  }

  @Test func whatIsReadIsFetched() throws {
    let names = [
      "config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json",
      "tokenizer.model", "pytorch_model.bin", "consolidated.safetensors", "onnx/model.json",
      "README.md", "chat_template.jinja", "x.gguf",
    ]
    #expect(
      try chosen(names) == [
        "config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json",
        "tokenizer.model", "chat_template.jinja",
      ])
    #expect(try chosen(names, FileChoice(include: ["*.bin"])) == ["pytorch_model.bin"])
    #expect(try chosen(["a.gguf", "config.json"]) == ["config.json", "a.gguf"])
    #expect(throws: Diagnostic.self) { try chosen(["a.gguf", "b.gguf"]) }
    #expect(try chosen(["a.gguf", "b.gguf"], FileChoice(exclude: ["b*"])) == ["a.gguf"])
    #expect(throws: Diagnostic.self) { try chosen(["README.md"]) }
  }

  @Test func theEnvironmentNamesTheCache() {
    func root(_ environment: [String: String]) -> String? {
      HubCache(environment: environment)?.root
    }
    #expect(root(["HOME": "/h"]) == "/h/.cache/huggingface/hub")
    #expect(root(["HOME": "/h", "XDG_CACHE_HOME": "/x"]) == "/x/huggingface/hub")
    #expect(root(["HOME": "/h", "HF_HOME": "~/f"]) == "/h/f/hub")
    #expect(root(["HF_HOME": "/f", "HF_HUB_CACHE": "/c"]) == "/c")
    #expect(root([:]) == nil)
  }

  @Test func theTokenComesFromVariableOrFile() throws {
    let folder = try TemporaryFolder()
    try Data("from-file\n".utf8).write(to: folder.url.appending(path: "token"))
    let home = folder.path("")
    #expect(try HubSettings(environment: ["HF_HOME": home]).token == "from-file")
    #expect(try HubSettings(environment: ["HF_HOME": home, "HF_TOKEN": "t"]).token == "t")
    // A line end would begin another header.
    #expect(try HubSettings(environment: ["HF_TOKEN": "a\r\nX: y"]).token == "aX:y")
    #expect(try HubSettings(environment: [:]).token == nil)
    #expect(throws: Diagnostic.self) {
      try HubSettings(environment: ["HF_ENDPOINT": "http://hub.example"])
    }
  }
}
