// What is in a file or folder: model, adapter, checkpoint or GGUF.

import QLoRACPU
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRAReport
import QLoRASystem
import QLoRATensor

package struct InspectionReport: Sendable {
  package struct TensorLine: Sendable {
    package var name: String
    package var dtype: String
    package var shape: [Int]
    package var bytes: Int
  }
  /// `model`, `gguf`, `adapter`, `checkpoint` or `safetensors`.
  package var kind: String
  package var facts: [(name: String, value: JSONValue)]
  package var tensors: [TensorLine]
}

extension Pipeline {
  /// Describes what is at `path`; `verify` reads every byte of it.
  ///
  /// - Throws: as reading does; with `verify` also for NaN, infinities and digests that differ from
  ///   those of a MANIFEST.json.
  package static func inspect(path: String, verify: Bool) throws -> InspectionReport {
    let files = PosixFileSystem()
    func has(_ name: String) throws -> Bool {
      try files.status(FilePath.join(path, name)) != nil
    }
    if verify, try has(CheckpointManifest.fileName) { try checkManifest(path) }
    if try has(CheckpointManifest.fileName), try has("state.json") {
      return try checkpoint(path, verify)
    }
    if try has(PEFTAdapterConfig.fileName) { return try adapter(path, verify) }
    if path.hasSuffix(".safetensors") {
      let file = try SafetensorsFile(path: path)
      if verify { try checkFinite([file]) }
      return InspectionReport(kind: "safetensors", facts: sizes([file]), tensors: lines([file]))
    }
    if let start = try start(of: path) {
      if path.hasSuffix(".gguf") || start.starts(with: "GGUF".utf8) {
        let file = try GGUFFile(path: path)
        if file.metadata["general.type"]?.string == "adapter" { return try adapter(file, verify) }
      } else if isJSON(start) {
        throw Diagnostic(
          .fileIsForeign, "this is JSON, which has no tensors", at: .file(path),
          remedy: "inspect takes a model's folder, an adapter, a checkpoint, or a .safetensors or "
            + "GGUF file; a recipe is for `qlora plan`")
      }
    }
    if RunView.isRun(path) { throw isARun(path) }
    return try model(path, verify)
  }

  private static func isARun(_ path: String) -> Diagnostic {
    let adapter = FilePath.join(path, "adapter")
    let isThere = (try? PosixFileSystem().status(adapter)) ?? nil != nil
    return Diagnostic(
      .modelMissing, "this is the folder of a run, and neither a model nor an adapter",
      at: .file(path),
      remedy: "`qlora runs show \(path)` describes the run"
        + (isThere ? ", `qlora inspect \(adapter)` its adapter" : ""))
  }

  /// The first bytes of a plain file; nil for a folder, or where there is nothing.
  private static func start(of path: String) throws -> [UInt8]? {
    guard let file = try? InputFile(path: path) else { return nil }
    return try file.bytes(0..<min(file.byteCount, 8))
  }

  /// A safetensors file begins with a length, whose last bytes are zero.
  private static func isJSON(_ start: [UInt8]) -> Bool {
    let first = start.first { ![0x20, 0x0A, 0x0D, 0x09].contains($0) }
    return first.map { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "[") } ?? false
      && !start.contains(0)
  }

  private static func model(_ path: String, _ verify: Bool) throws -> InspectionReport {
    let foreign = try ForeignModel.open(path)
    // What can be run is told more of; a folder of any other architecture is shown all the same.
    if case .folder = foreign.origin, foreign.modelType != ModelFamily.llama.rawValue {
      guard let source = try? ModelSource.open(path) else { return try anyFolder(foreign, verify) }
      return try model(foreign, source, verify)
    }
    return try model(foreign, ModelSource.open(path), verify)
  }

  private static func model(
    _ foreign: ForeignModel, _ source: ModelSource, _ verify: Bool
  ) throws -> InspectionReport {
    let config = source.config
    var facts: [(name: String, value: JSONValue)] = [
      ("architecture", .string(config.family.rawValue)), ("hidden", .int(config.hidden)),
      ("layers", .int(config.layers)), ("heads", .int(config.heads)),
      ("kvHeads", .int(config.kvHeads)), ("vocabulary", .int(config.vocabularySize)),
      ("positions", .int(config.maxPositions)),
      ("tiedEmbeddings", .bool(config.tiesEmbeddings)),
    ]
    let names = source.weights.names
    let count = try names.reduce(0) { $0 + (try source.weights.shape(of: $1)).count }
    facts.append(("parameters", .int(count)))
    let stored = source.digestInputs.reduce(0) { $0 + $1.byteCount }
    facts.append(("storedBytes", .int(stored)))
    facts.append(("bytesPerParameter", .double(Double(stored) / Double(max(1, count)))))
    if verify { try checkFinite(source.weights, source.path) }
    switch source.origin {
    case .gguf(let file):
      facts.append(("memoryFootprintBytes", .int(file.tensorBytes)))
      return InspectionReport(kind: "gguf", facts: facts, tensors: lines(file))
    case .folder(let folder):
      return InspectionReport(
        kind: "model", facts: facts + (try FolderSizes(foreign)).facts,
        tensors: lines(try ShardedSafetensors(folder: folder).files))
    case .random: return InspectionReport(kind: "random", facts: facts, tensors: [])
    }
  }

  /// A folder of an architecture that this program cannot run.
  private static func anyFolder(_ model: ForeignModel, _ verify: Bool) throws -> InspectionReport {
    let weights = model.weights
    if verify { try checkFinite(weights, model.path) }
    let files = (weights as? SafetensorsWeightSource)?.files.files ?? []
    let count = try weights.names.reduce(0) { $0 + (try weights.shape(of: $1)).count }
    let config = try InputFile("config.json", in: model.path).byteCount
    let stored = files.reduce(config) { $0 + $1.file.byteCount }
    let facts: [(name: String, value: JSONValue)] = [
      ("architecture", model.json["model_type"] ?? model.json["_class_name"] ?? .null),
      ("parameters", .int(count)), ("storedBytes", .int(stored)),
      ("bytesPerParameter", .double(Double(stored) / Double(max(1, count)))),
    ]
    return InspectionReport(
      kind: "model", facts: facts + (try FolderSizes(model)).facts, tensors: lines(files))
  }

  private static func adapter(_ path: String, _ verify: Bool) throws -> InspectionReport {
    let adapter = try PEFTAdapter.read(path)
    try adapter.checkRanks(in: path)
    let file = try SafetensorsFile(path: FilePath.join(path, PEFTAdapter.weightsName))
    if verify { try checkFinite([file]) }
    let config = adapter.config
    var facts: [(name: String, value: JSONValue)] = [
      ("baseModel", config.baseModel.map { .string($0) } ?? .null), ("rank", .int(config.rank)),
      ("alpha", .double(config.alpha)), ("modules", .int(adapter.pairs.count)),
    ]
    if let labels = (try? AdapterFolder.open(path))?.labels {
      facts.append(("labels", .list(labels.map { .string($0) })))
    }
    return InspectionReport(kind: "adapter", facts: facts + sizes([file]), tensors: lines([file]))
  }

  /// An adapter for llama.cpp.
  private static func adapter(_ file: GGUFFile, _ verify: Bool) throws -> InspectionReport {
    if verify {
      for tensor in file.tensors {
        try checkFinite(tensor.name, count: tensor.count, file: file.path) {
          try file.readFloats(tensor.name, range: $0, into: $1)
        }
      }
    }
    let alpha = file.metadata["adapter.lora.alpha"]?.double
    let facts: [(name: String, value: JSONValue)] = [
      (
        "architecture",
        file.metadata["general.architecture"]?.string.map { .string($0) } ?? .null
      ),
      ("alpha", alpha.map { .double($0) } ?? .null),
      ("modules", .int(file.tensors.count { $0.name.hasSuffix(".lora_a") })),
    ]
    let count = file.tensors.reduce(0) { $0 + $1.count }
    return InspectionReport(
      kind: "adapter",
      facts: facts + sizes(count, stored: file.file.byteCount, tensors: file.tensorBytes),
      tensors: lines(file))
  }

  private static func lines(_ file: GGUFFile) -> [InspectionReport.TensorLine] {
    file.tensors.map {
      .init(
        name: $0.name, dtype: "\($0.type)", shape: $0.extents, bytes: $0.byteRange.count)
    }
  }

  private static func checkpoint(_ path: String, _ verify: Bool) throws -> InspectionReport {
    let state = try JSONValue(
      parsing: try PosixFileSystem().readAll(FilePath.join(path, "state.json")))
    let files = try [PEFTAdapter.weightsName, "optimizer.safetensors"].map {
      try SafetensorsFile(path: FilePath.join(path, $0))
    }
    if verify { try checkFinite(files) }
    let facts: [(name: String, value: JSONValue)] = [
      ("step", state["step"] ?? .null), ("tokens", state["tokens"] ?? .null),
      ("identity", state["identity"] ?? .null),
    ]
    return InspectionReport(kind: "checkpoint", facts: facts + sizes(files), tensors: lines(files))
  }

  private static func sizes(_ files: [SafetensorsFile]) -> [(name: String, value: JSONValue)] {
    let entries = files.flatMap(\.entries)
    return sizes(
      entries.reduce(0) { $0 + $1.shape.count },
      stored: files.reduce(0) { $0 + $1.file.byteCount },
      tensors: entries.reduce(0) { $0 + $1.byteRange.count })
  }

  /// - Parameters:
  ///   - stored: bytes of files.
  ///   - tensors: those of their tensors, as they are.
  private static func sizes(
    _ parameters: Int, stored: Int, tensors: Int
  ) -> [(name: String, value: JSONValue)] {
    [
      ("parameters", .int(parameters)), ("storedBytes", .int(stored)),
      ("bytesPerParameter", .double(Double(stored) / Double(max(1, parameters)))),
      ("memoryFootprintBytes", .int(tensors)),
    ]
  }

  private static func lines(_ files: [SafetensorsFile]) -> [InspectionReport.TensorLine] {
    files.flatMap(\.entries).map {
      .init(
        name: $0.name, dtype: $0.dtype.rawValue, shape: $0.shape.extents,
        bytes: $0.byteRange.count)
    }
  }
}

extension GGUFFile {
  fileprivate var tensorBytes: Int { tensors.reduce(0) { $0 + $1.byteRange.count } }
}

// MARK: Verifying
extension Pipeline {
  /// Every file that a folder's manifest lists against its digest.
  private static func checkManifest(_ path: String) throws {
    do throws(Diagnostic) {
      try CheckpointManifest.verify(path)
    } catch {
      throw Diagnostic(
        error.code, error.message, at: error.location,
        remedy: "use a checkpoint that is intact, or export or merge again; a file that was edited "
          + "on purpose differs, too")
    }
  }

  /// Floats that are looked at together.
  private static let pieceElements = 1 << 18

  private static func checkFinite(_ weights: any WeightSource, _ file: String) throws {
    for name in weights.names where try weights.dtype(of: name).isFloatingPoint {
      try checkFinite(name, count: try weights.shape(of: name).count, file: file) {
        try weights.readFloats(name, range: $0, into: $1)
      }
    }
  }

  private static func checkFinite(_ files: [SafetensorsFile]) throws {
    for file in files {
      for entry in file.entries where entry.dtype.isFloatingPoint {
        try checkFinite(entry.name, count: entry.shape.count, file: file.path) {
          try file.readFloats(entry.name, range: $0, into: $1)
        }
      }
    }
  }

  private static func checkFinite(
    _ name: String, count: Int, file: String,
    _ read: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws -> Void
  ) throws {
    let piece = Tensor(uninitialized: [min(count, pieceElements)], .float32)
    for start in stride(from: 0, to: count, by: pieceElements) {
      let range = start..<min(count, start + pieceElements)
      try piece.withMutableElements(Float.self) { buffer in
        let part = UnsafeMutableBufferPointer(rebasing: buffer[..<range.count])
        try read(range, part)
        guard let bad = part.firstIndex(where: { !$0.isFinite }) else { return }
        throw Diagnostic(
          .weightNotFinite, "element \(start + bad) is \(part[bad])",
          at: .tensor(file: file, name: name),
          remedy: "fetch the file again, or train from an earlier checkpoint")
      }
    }
  }
}
