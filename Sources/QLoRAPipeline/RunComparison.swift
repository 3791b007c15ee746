// Whether two finished runs are the same, bit for bit, in all that an interruption must not change.

import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATraining

package struct RunComparison: Sendable, Equatable {
  /// One file of both runs.
  package struct Item: Sendable, Equatable {
    /// Such as `adapter/adapter_model.safetensors`.
    package let name: String
    /// In the first run.
    package let byteCount: Int
    /// Where the second run's file differs first; nil where it does not.
    package let difference: String?
  }

  /// What tells of time and memory, in `metrics.jsonl` and `state.json`; lines of the log have
  /// another length with other times.
  private static let timeKeys: Set = [
    "tokensPerSecond", "peakMemoryBytes", "elapsedSeconds", "metricsByteCount",
  ]

  private static let evaluationKeys: Set = [
    "isEvaluationPending", "bestEvaluationLoss", "bestEvaluationStep",
  ]

  package let items: [Item]

  package var firstDifference: Item? { items.first { $0.difference != nil } }

  /// Compares the folders of two finished runs.
  ///
  /// - Throws: a diagnostic where one of them cannot be read, or has no intact checkpoint.
  package init(_ first: String, _ second: String) throws {
    let files = PosixFileSystem()
    let (one, other) = (try Self.newest(first), try Self.newest(second))
    guard one.step == other.step else {
      items = [
        Item(
          name: "checkpoints", byteCount: 0,
          difference: "the newest are of step \(one.step) and of step \(other.step)")
      ]
      return
    }
    let adapters = [first, second].map { FilePath.join($0, "adapter") }
    let names = try Set(adapters.flatMap { try files.listIfThere($0) }).sorted()
    var items = try names.map { name in
      try Self.compare("adapter/" + name, adapters.map { FilePath.join($0, name) }, files)
    }
    for name in [CheckpointFile.adapter, CheckpointFile.optimizer, CheckpointFile.state] {
      let paths = [one.path, other.path].map { FilePath.join($0, name) }
      items.append(
        try Self.compare("checkpoint/" + name, paths, isJSON: name.hasSuffix(".json"), files))
    }
    let logs = [first, second].map { FilePath.join($0, "metrics.jsonl") }
    items.append(try Self.compare("metrics.jsonl", logs, isJSON: true, files))
    self.items = items
  }

  private static func newest(_ run: String) throws -> CheckpointStore.Checkpoint {
    let store = CheckpointStore(FilePath.join(run, RunDirectory.checkpointsName))
    guard let newest = try store.newestIntact() else {
      throw Diagnostic(
        .resumeDiffers, "the run has no intact checkpoint", at: .file(run),
        remedy: "please report this as a bug")
    }
    return newest
  }

  private static func compare(
    _ name: String, _ paths: [String], isJSON: Bool = false, _ files: PosixFileSystem
  ) throws -> Item {
    let contents = try paths.map { path in
      try files.status(path) == nil ? nil : try files.readAll(path)
    }
    guard let first = contents[0], let second = contents[1] else {
      return Item(
        name: name, byteCount: contents[0]?.count ?? 0,
        difference: "only the \(contents[0] == nil ? "resumed" : "uninterrupted") run has it")
    }
    let difference =
      isJSON ? try differenceOfValues(first, second, name) : differenceOfBytes(first, second)
    return Item(name: name, byteCount: first.count, difference: difference)
  }

  private static func differenceOfBytes(_ first: [UInt8], _ second: [UInt8]) -> String? {
    if first == second { return nil }
    let common = zip(first, second).prefix { $0 == $1 }.count
    return "byte \(common) is the first that differs, of \(first.count) and \(second.count)"
  }

  /// JSON without times: a log line by line, other files member by member.
  private static func differenceOfValues(
    _ first: [UInt8], _ second: [UInt8], _ name: String
  ) throws -> String? {
    // The recipe names its own output; what it decides is in the identity.
    var ignored = timeKeys.union([TrainingState.recipeKey])
    // Stopped within its last evaluation, a run keeps the checkpoint from before it.
    let pending = Array("\"isEvaluationPending\": true".utf8)
    if first.contains(pending) || second.contains(pending) { ignored.formUnion(evaluationKeys) }
    let ones = try values(first, name, without: ignored)
    let others = try values(second, name, without: ignored)
    for (index, (one, other)) in zip(ones, others).enumerated() where one != other {
      return "number \(index + 1), \(one), is \(other) in the resumed run"
    }
    return ones.count == others.count
      ? nil : "the first has \(ones.count) values and the second \(others.count)"
  }

  private static func values(
    _ bytes: [UInt8], _ name: String, without ignored: Set<String>
  ) throws -> [String] {
    func members(_ text: ArraySlice<UInt8>) throws -> [JSONMember] {
      try (JSONValue(parsing: text).objectMembers ?? []).filter { !ignored.contains($0.key) }
    }
    guard name.hasSuffix(".jsonl") else {
      return try members(bytes[...]).map { JSONWriter.text(.object([$0])) }
    }
    return try bytes.split(separator: UInt8(ascii: "\n")).map {
      JSONWriter.text(.object(try members($0)))
    }
  }
}

extension PosixFileSystem {
  fileprivate func listIfThere(_ path: String) throws(FileFailure) -> [String] {
    try status(path) == nil ? [] : try list(path)
  }
}
