// The safetensors files of one model folder: a single file, or shards that an index lists. The
// index and the shards must agree on every tensor.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

/// All tensors of a folder's `model.safetensors` or `model.safetensors.index.json`.
package struct ShardedSafetensors: Sendable {
  /// How the files of a model are called; those of diffusers have a name of their own.
  package static let stems = ["model", "diffusion_pytorch_model"]
  package static let singleName = "model.safetensors"
  package static let indexName = "model.safetensors.index.json"

  /// Some hundred thousand tensors: several times the largest known model.
  private static let maximumIndexBytes = 1 << 25
  private static let maximumIndexValues = 1 << 19

  package let files: [SafetensorsFile]
  /// Every tensor's name, in the order of the files and of their headers.
  package let names: [String]
  private let fileOfName: [String: Int]

  /// - Parameter stem: one of `stems`, for folders of diffusers.
  /// - Throws: `fileMissing` naming both files looked for; `shardIndex`, `shardMismatch`.
  package init(folder: String, stem: String = stems[0]) throws(Diagnostic) {
    let name = stem + ".safetensors"
    let index = try InputFile.openIfPresent(name + ".index.json", in: folder)
    if let single = try InputFile.openIfPresent(name, in: folder) {
      try self.init(files: [SafetensorsFile(file: single)])
    } else if let index {
      try self.init(index: index, folder: folder)
    } else if let pickle = try Self.pickle(in: folder) {
      throw pickle
    } else {
      throw Diagnostic(
        .fileMissing, "there is neither \(name) nor \(name).index.json",
        at: .file(folder),
        remedy: "give a model folder with safetensors files, or a .gguf file")
    }
  }

  /// Why a folder of older PyTorch weights is of no use; nil where it holds none.
  private static func pickle(in folder: String) throws(Diagnostic) -> Diagnostic? {
    for name in ["pytorch_model.bin", "pytorch_model.bin.index.json"] {
      guard let file = try InputFile.openIfPresent(name, in: folder) else {
        continue
      }
      return Diagnostic(
        .fileIsPickle,
        "the weights are a PyTorch pickle, which could run code when read; there is no "
          + singleName, at: .file(file.path),
        remedy: "use the model's safetensors files; `qlora explain E0205` tells how to make them")
    }
    return nil
  }

  /// The tensors of files that need no index.
  package init(files: [SafetensorsFile]) throws(Diagnostic) {
    var names: [String] = []
    var fileOfName: [String: Int] = [:]
    for (index, file) in files.enumerated() {
      for entry in file.entries {
        if let other = fileOfName.updateValue(index, forKey: entry.name) {
          throw Diagnostic(
            .shardMismatch, "tensor \"\(entry.name)\" also stands in \(files[other].path)",
            at: .file(file.path))
        }
        names.append(entry.name)
      }
    }
    self.files = files
    self.names = names
    self.fileOfName = fileOfName
  }

  private init(index: InputFile, folder: String) throws(Diagnostic) {
    let map = try Self.readIndex(index)
    var files: [SafetensorsFile] = []
    for shard in Set(map.values).sorted() {
      files.append(try SafetensorsFile(file: InputFile(shard, in: folder)))
    }
    try self.init(files: files)
    for (name, shard) in map.sorted(by: { $0.key < $1.key }) {
      let path = FilePath.join(folder, shard)
      guard let found = fileOfName[name], files[found].path == path else {
        throw Diagnostic(
          .shardMismatch, "the index places tensor \"\(name)\" in \(shard), where it is not",
          at: .file(path))
      }
    }
    if let extra = names.first(where: { map[$0] == nil }), let place = fileOfName[extra] {
      throw Diagnostic(
        .shardMismatch, "tensor \"\(extra)\" is in the shard but not in the index",
        at: .file(files[place].path))
    }
  }

  /// Tensor name to shard name.
  private static func readIndex(_ file: InputFile) throws(Diagnostic) -> [String: String] {
    let root = try JSONValue.read(
      file, limit: maximumIndexBytes, code: .shardIndex,
      options: JSONReadOptions(maximumValues: maximumIndexValues))
    guard let members = root["weight_map"]?.objectMembers, !members.isEmpty else {
      throw Diagnostic(
        .shardIndex, "expected an object \"weight_map\" of tensor names", at: .file(file.path))
    }
    var map: [String: String] = [:]
    for member in members {
      guard let shard = member.value.stringValue, isShardName(shard) else {
        throw Diagnostic(
          .shardIndex,
          "tensor \"\(member.key)\" must name a *.safetensors file of the same folder",
          at: .position(
            file: file.path, line: member.position.line, column: member.position.column))
      }
      map[member.key] = shard
    }
    return map
  }

  /// One path component of `[A-Za-z0-9._-]` that ends in `.safetensors`: an index from elsewhere
  /// must not reach out of its folder.
  static func isShardName(_ name: String) -> Bool {
    let suffix = ".safetensors"
    return name.hasSuffix(suffix) && name.utf8.count > suffix.utf8.count
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  package func contains(_ name: String) -> Bool { fileOfName[name] != nil }

  /// The file that holds a tensor.
  ///
  /// - Throws: `tensorMissing`.
  package func file(of name: String) throws(Diagnostic) -> SafetensorsFile {
    guard let index = fileOfName[name] else {
      let place = files.first.map { DiagnosticLocation.file($0.path) }
      throw Diagnostic(
        .tensorMissing, "there is no tensor \"\(name)\" among the \(names.count) of the model",
        at: place)
    }
    return files[index]
  }

  package func entry(_ name: String) throws(Diagnostic) -> TensorEntry {
    try file(of: name).entry(name)
  }

  package func readTensor(_ name: String) throws -> Tensor { try file(of: name).readTensor(name) }
}
