// Downloads from a hub that behaves: the cache's layout, what is fetched, what is asked.
import Foundation
import QLoRADiagnostics
import QLoRAHub
import QLoRASystem
import Synchronization
import TestSupport
import Testing

@Suite(.serialized, .enabled(if: HubClient.libraryName != nil)) struct HubDownloadTests {
  private let weights = FakeHub.bytes(300_001, seed: 1)

  private func hub() throws -> FakeHub {
    try FakeHub(
      small: [
        "config.json": Array("{\"a\": 1}".utf8), "tokenizer.json": FakeHub.bytes(5000, seed: 2),
        "vocab.txt": [], "pytorch_model.bin": [0x80, 2], "notes.md": [1],
      ], large: ["model.safetensors": weights])
  }

  @Test func filesLieAsTheHubsLibraryWantsThem() throws {
    let hub = try hub()
    let report = try hub.download()
    #expect(report.commit == FakeHub.commit && report.askedServer)
    let root = hub.folder.path("hub/models--org--tiny")
    let files = FileManager.default
    #expect(
      try files.contentsOfDirectory(atPath: root + "/snapshots/" + FakeHub.commit).sorted()
        == ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"])
    let link = try files.destinationOfSymbolicLink(
      atPath: root + "/snapshots/\(FakeHub.commit)/model.safetensors")
    #expect(link == "../../blobs/" + FakeHub.hex(weights, length: 64))
    #expect(try String(contentsOfFile: root + "/refs/main", encoding: .utf8) == FakeHub.commit)
    for name in ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"] {
      #expect(hub.content(name) == hub.files[name], "\(name)")
    }
    #expect(hub.blobs.count == 4 && !hub.blobs.contains { $0.contains(".") })
    let record = root + "/trees/\(FakeHub.commit).json"
    #expect(HubListing(record: record, commit: FakeHub.commit)?.files.count == hub.files.count)
  }

  /// A repository of diffusers as FLUX.1's and Stable Diffusion's are: the parts, neither the same
  /// weights in one file nor in another type.
  @Test func ofAPipelineThePartsAreFetched() throws {
    let wanted = [
      "model_index.json", "LICENSE.md", "scheduler/scheduler_config.json",
      "text_encoder/config.json", "text_encoder/model.safetensors",
      "text_encoder_3/config.json", "text_encoder_3/model.safetensors.index.json",
      "text_encoder_3/model-00001-of-00002.safetensors",
      "text_encoder_3/model-00002-of-00002.safetensors", "tokenizer/tokenizer_config.json",
      "tokenizer/merges.txt", "tokenizer/vocab.json", "tokenizer_3/tokenizer_config.json",
      "tokenizer_3/spiece.model", "transformer/config.json",
      "transformer/diffusion_pytorch_model.safetensors", "vae/config.json",
      "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    let others = [
      "flux1-dev.safetensors", "ae.safetensors", "README.md", "text_encoders/clip_g.safetensors",
      "text_encoder/model.fp16.safetensors", "text_encoder/pytorch_model.bin",
      "text_encoder_3/model.safetensors.index.fp16.json",
      "text_encoder_3/model.fp16-00001-of-00002.safetensors", "a/deeper/config.json",
    ]
    let names = wanted + others
    let hub = try FakeHub(
      small: Dictionary(uniqueKeysWithValues: names.map { ($0, Array($0.utf8)) }))
    let report = try hub.download()
    #expect(report.files.map(\.name).sorted() == wanted.sorted())
    for name in wanted { #expect(hub.content(name) == Array(name.utf8), "\(name)") }
    let chosen = try hub.download(choice: FileChoice(exclude: ["vae/"]))
    #expect(chosen.files.count == wanted.count - 2)
  }

  /// Every try of one handle says what was wrong, and nothing of options.
  @Test func anUnknownHostIsNamed() throws {
    let hub = try hub()
    let found = #expect(throws: Diagnostic.self) {
      try hub.download(environment: ["HF_ENDPOINT": "https://nohost.invalid"])
    }
    #expect(found?.code.exitCode == .network)
    #expect(found?.message.contains("resolve host") == true, "\(String(describing: found))")
  }

  @Test func theTokenStaysWithTheHub() throws {
    let hub = try hub()
    _ = try hub.download()
    #expect(!hub.hub.requests.isEmpty && !hub.store.requests.isEmpty)
    #expect(hub.hub.requests.allSatisfy { $0.fields["authorization"] == "Bearer secret" })
    #expect(hub.store.requests.allSatisfy { $0.fields["authorization"] == nil })
  }

  /// Not even where a stranger sends us back.
  @Test func theTokenDoesNotComeBack() throws {
    let home = Mutex("")
    let stranger = try HostileServer { _ in
      ServedAnswer(status: 302, fields: ["Location": home.withLock { $0 } + "/secret"])
    }
    let hub = try FakeHub(
      onHub: { request, _ in
        request.target.contains("config.json")
          ? ServedAnswer(status: 302, fields: ["Location": stranger.address + "/x"]) : nil
      })
    home.withLock { $0 = hub.hub.address }
    #expect(hub.failure() == .hubMissing)
    let asked = stranger.requests + hub.hub.requests.filter { $0.target == "/secret" }
    #expect(asked.count == 2 && asked.allSatisfy { $0.fields["authorization"] == nil })
  }

  @Test func whatIsCompleteIsNotAskedForAgain() throws {
    let hub = try hub()
    _ = try hub.download()
    let (asked, stored) = (hub.hub.requests.count, hub.store.requests.count)
    let again = try hub.download()
    #expect(!again.askedServer && again.files.count == 4)
    #expect(hub.hub.requests.count == asked)
    let offline = try hub.download(environment: ["HF_HUB_OFFLINE": "1"])
    #expect(!offline.askedServer && hub.hub.requests.count == asked)
    // Another choice asks for what is missing alone.
    let more = try hub.download(choice: FileChoice(include: ["notes.md", "config.json"]))
    #expect(more.files.map(\.fetchedBytes).reduce(0, +) == 1)
    let refreshed = try hub.download(refreshes: true)
    #expect(refreshed.askedServer && hub.store.requests.count == stored)
    // A commit is what it is.
    let count = hub.hub.requests.count
    _ = try hub.download("org/tiny@" + FakeHub.commit)
    #expect(hub.hub.requests.count == count)
  }

  @Test func offlineNothingIsFetched() throws {
    let hub = try hub()
    #expect(hub.failure(environment: ["HF_HUB_OFFLINE": "yes"]) == .hubNotCached)
    #expect(hub.hub.requests.isEmpty)
  }

  /// A killed download left a part; a file of another length is no part.
  @Test func anEarlierStartIsContinued() throws {
    let hub = try hub()
    let blobs = hub.folder.path("hub/models--org--tiny/blobs")
    try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
    let partial = blobs + "/" + FakeHub.hex(weights, length: 64) + ".incomplete"
    try Data(weights.prefix(200_000)).write(to: URL(filePath: partial))
    let report = try hub.download()
    #expect(hub.content("model.safetensors") == weights)
    let file = try #require(report.files.first { $0.name == "model.safetensors" })
    #expect(file.fetchedBytes == weights.count - 200_000)
    #expect(hub.store.requests.map(\.rangeStart) == [200_000])
  }

  @Test(arguments: [100_000, 300_001, 400_000])
  func aWrongPartIsDiscarded(bytes: Int) throws {
    let hub = try hub()
    let blobs = hub.folder.path("hub/models--org--tiny/blobs")
    try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
    let partial = blobs + "/" + FakeHub.hex(weights, length: 64) + ".incomplete"
    try Data(FakeHub.bytes(bytes, seed: 9)).write(to: URL(filePath: partial))
    _ = try hub.download()
    #expect(hub.content("model.safetensors") == weights)
  }

  @Test func sizesAndDigestsMayComeFromHeads() throws {
    let listing = FakeHub.bare(["config.json", "model.safetensors"])
    let hub = try FakeHub(large: ["model.safetensors": weights], listing: listing)
    _ = try hub.download()
    #expect(hub.content("model.safetensors") == weights)
    #expect(hub.hub.requests.count { $0.method == "HEAD" } == 2)
    #expect(hub.store.requests.allSatisfy { $0.method == "GET" })
  }

  @Test func anotherProcessIsWaitedFor() throws {
    let hub = try hub()
    let digest = FakeHub.hex(weights, length: 64)
    let locks = hub.folder.path("hub/.locks/models--org--tiny")
    try FileManager.default.createDirectory(atPath: locks, withIntermediateDirectories: true)
    var lock = try FileLock.take(locks + "/\(digest).lock")
    #expect(lock != nil)
    var hasWaited = false
    _ = try hub.download { event in
      if case .waiting = event {
        hasWaited = true
        lock = nil
      }
    }
    #expect(hasWaited && lock == nil && hub.content("model.safetensors") == weights)
  }

  @Test func aFullDiskIsSaidBeforehand() throws {
    let hub = try hub()
    let wide = try FakeHub(listing: FakeHub.huge)
    #expect(wide.failure() == .hubNoSpace)
    #expect(wide.hub.requests.count == 1)
    // And where it fills up on the way, nothing is lost.
    let full = FaultingFileSystem(at: 0, fault: .full, only: .write)
    let cache = HubCache(root: hub.folder.path("hub"), full)
    #expect(hub.failure(into: cache) == .diskFull)
    _ = try hub.download()
    #expect(hub.content("model.safetensors") == weights)
  }

  /// Each call of the file system fails once; what is then in the cache is right or absent.
  @Test(arguments: [Fault.inputOutput, .full, .crashBefore, .crashAfter, .tornWrite])
  func everyFileOperationMayFail(fault: Fault) throws {
    let hub = try FakeHub(
      small: ["config.json": Array("{}".utf8)], large: ["model.safetensors": [1, 2, 3]])
    for position in 0..<60 {
      let root = hub.folder.path("faults-\(position)")
      let faulty = FaultingFileSystem(at: position, fault: fault)
      let first = hub.failure(into: HubCache(root: root, faulty))
      let isOver = faulty.callCount <= position
      let place = root + "/models--org--tiny/snapshots/\(FakeHub.commit)/"
      for (name, bytes) in hub.files {
        if let found = FileManager.default.contents(atPath: place + name) {
          #expect(Array(found) == bytes, "\(fault) at \(position)")
        }
      }
      #expect(hub.failure(into: HubCache(root: root)) == nil, "\(fault) at \(position)")
      for (name, bytes) in hub.files {
        #expect(FileManager.default.contents(atPath: place + name).map(Array.init) == bytes)
      }
      if isOver {
        #expect(first == nil)
        return
      }
    }
    Issue.record("more calls than expected")
  }
}
