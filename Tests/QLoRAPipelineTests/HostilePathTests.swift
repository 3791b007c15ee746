// What may lie where a file of a model, an adapter, a dataset or a recipe is expected: links of all
// kinds, pipes, devices, folders, sockets. Each is refused with a diagnostic, and none waits.
import Foundation
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRARecipe
import QLoRASystem
import QLoRAText
import TestSupport
import Testing

import QLoRAPipeline

/// What is put at the path.
enum PathThing: String, CaseIterable, Sendable {
  case linkOutside, relativeLinkOutside, linkToLinkOutside, linkThroughFolder
  case linkToItself, linksInACircle, linkToNothing
  case folder, linkToFolder, pipe, linkToPipe, zeroDevice, endlessDevice, socket, sparse

  /// Whether the file would be read if the user named it himself.
  var leadsToGoodFile: Bool {
    [.linkOutside, .relativeLinkOutside, .linkToLinkOutside, .linkThroughFolder].contains(self)
  }

  /// - Parameter good: a file that would do, outside the folder.
  func put(at path: String, good: String) {
    func link(_ target: String, at place: String? = nil) {
      #expect(symlink(target, place ?? path) == 0)
    }
    switch self {
    case .linkOutside: link(good)
    case .relativeLinkOutside: link("../outside/" + FilePath.lastComponent(of: good))
    case .linkToLinkOutside:
      link(good, at: path + ".link")
      link(path + ".link")
    case .linkThroughFolder:
      link(FilePath.parent(of: good), at: path + ".way")
      link(path + ".way/" + FilePath.lastComponent(of: good))
    case .linkToItself: link(path)
    case .linksInACircle:
      link(path, at: path + ".back")
      link(path + ".back")
    case .linkToNothing: link("nothing")
    case .folder: #expect(mkdir(path, 0o700) == 0)
    case .linkToFolder: link(".")
    case .pipe: #expect(mkfifo(path, 0o600) == 0)
    case .linkToPipe:
      #expect(mkfifo(path + ".pipe", 0o600) == 0)
      link(path + ".pipe")
    case .zeroDevice: link("/dev/zero")
    case .endlessDevice: link("/dev/urandom")
    case .socket: #expect(mknod(path, S_IFSOCK | 0o600, 0) == 0)
    case .sparse:
      #expect(FileManager.default.createFile(atPath: path, contents: nil))
      #expect(truncate(path, 1 << 40) == 0)
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct HostilePathTests {
  static let modelFiles = [
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja",
  ]
  static let shardFiles = ["model.safetensors.index.json", "s-1.safetensors"]
  static let adapterFiles = [PEFTAdapterConfig.fileName, PEFTAdapter.weightsName]

  /// What a file of a terabyte is refused with where it is not too large as such.
  static let sparseCodes: [String: DiagnosticCode] = [
    "config.json": .configInvalid, "model.safetensors": .safetensorsHeaderSyntax,
    "s-1.safetensors": .safetensorsHeaderSyntax, "model.safetensors.index.json": .shardIndex,
    "tokenizer.json": .tokenizerMalformed, "tokenizer_config.json": .tokenizerMalformed,
    "chat_template.jinja": .fileTooLarge, PEFTAdapterConfig.fileName: .adapterConfig,
    PEFTAdapter.weightsName: .safetensorsHeaderSyntax,
  ]

  private let root: TemporaryFolder

  init() throws {
    root = try TemporaryFolder()
    for name in ["inside", "outside"] {
      try FileManager.default.createDirectory(
        atPath: root.path(name), withIntermediateDirectories: false)
      for source in [
        "tiny-llama/config.json", "tiny-llama/model.safetensors",
        "tiny-chat/tokenizer.json", "tiny-chat/tokenizer_config.json", "peft/adapter_config.json",
        "peft/adapter_model.safetensors",
      ] {
        try FileManager.default.copyItem(
          atPath: Goldens.path(source),
          toPath: root.path("\(name)/\(FilePath.lastComponent(of: source))"))
      }
      try Data("{{ messages }}".utf8).write(
        to: root.url.appending(path: "\(name)/chat_template.jinja"))
    }
  }

  private func shard(_ folder: String) throws {
    let model = root.path("\(folder)/model.safetensors")
    let names = try SafetensorsFile(path: model).entries.map {
      "\"\($0.name)\":\"s-1.safetensors\""
    }
    try FileManager.default.moveItem(
      atPath: model, toPath: root.path("\(folder)/s-1.safetensors"))
    try Data("{\"weight_map\":{\(names.joined(separator: ","))}}".utf8).write(
      to: root.url.appending(path: "\(folder)/model.safetensors.index.json"))
  }

  private func open(_ file: String) throws {
    if Self.adapterFiles.contains(file) {
      _ = try AdapterFolder.open(root.path("inside"))
    } else {
      _ = try ModelSource.open(root.path("inside"))
      _ = try Tokenizer.load(folder: root.path("inside"))
    }
  }

  @Test(arguments: PathThing.allCases, modelFiles + shardFiles + adapterFiles)
  func aFolderOfOthers(_ thing: PathThing, _ file: String) throws {
    if Self.shardFiles.contains(file) { for folder in ["inside", "outside"] { try shard(folder) } }
    try open(file)
    let path = root.path("inside/\(file)")
    try FileManager.default.removeItem(atPath: path)
    thing.put(at: path, good: root.path("outside/\(file)"))
    let found = #expect(throws: Diagnostic.self) { try open(file) }
    switch thing {
    case _ where thing.leadsToGoodFile: #expect(found?.code == .fileOutside)
    case .linkToItself, .linksInACircle, .socket: #expect(found?.code == .fileUnreadable)
    case .sparse: #expect(found?.code == Self.sparseCodes[file])
    default: #expect(found?.code == .fileNotRegular)
    }
  }

  /// Links of a file within its folder, and those of the Hugging Face cache, are followed.
  @Test func linksThatStayInsideAreFollowed() throws {
    try FileManager.default.moveItem(
      atPath: root.path("inside/config.json"), toPath: root.path("inside/real.json"))
    #expect(symlink("real.json", root.path("inside/config.json")) == 0)
    try open("config.json")
    let snapshot = root.path("models--a--b/snapshots/abc")
    let blobs = root.path("models--a--b/blobs")
    for folder in [snapshot, blobs] {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    for name in Self.modelFiles {
      try FileManager.default.moveItem(
        atPath: root.path("outside/\(name)"), toPath: "\(blobs)/\(name).blob")
      #expect(symlink("../../blobs/\(name).blob", "\(snapshot)/\(name)") == 0)
    }
    _ = try ModelSource.open(snapshot)
    _ = try Tokenizer.load(folder: snapshot)
    // A folder may be reached by a link; only what lies in it may not lead out.
    #expect(symlink(snapshot, root.path("model")) == 0)
    _ = try ModelSource.open(root.path("model"))
  }

  @Test(arguments: PathThing.allCases) func aFileTheUserNames(_ thing: PathThing) throws {
    let rows = root.path("outside/rows.jsonl")
    try Data("{\"text\":\"a\"}\n".utf8).write(to: URL(filePath: rows))
    thing.put(at: root.path("inside/rows.jsonl"), good: rows)
    let recipe = root.path("outside/recipe.json")
    try Data(
      #"{"model":{"path":"m"},"data":{"train":[{"path":"d","format":"text"}]}}"#.utf8
    ).write(to: URL(filePath: recipe))
    thing.put(at: root.path("inside/recipe.json"), good: recipe)
    let model = root.path("outside/model.safetensors")
    thing.put(at: root.path("inside/named.safetensors"), good: model)
    func isRead(_ body: () throws -> Void) -> Bool {
      do {
        try body()
        return true
      } catch {
        #expect(error is Diagnostic || error is Diagnostics, "\(error)")
        return false
      }
    }
    let expected = thing.leadsToGoodFile
    #expect(
      isRead { try RowReader(path: root.path("inside/rows.jsonl")).forEachRow { _ in } }
        == expected)
    #expect(isRead { _ = try RecipeLoader.load(path: root.path("inside/recipe.json")) } == expected)
    #expect(
      isRead { _ = try SafetensorsFile(path: root.path("inside/named.safetensors")) } == expected)
  }
}
