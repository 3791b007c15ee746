// A run's folder as somebody sees it who only looks: nothing here writes or waits for a lock.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATraining

package enum RunState: String, Sendable {
  case running, finished, interrupted
  /// By an error, which `run.json` names.
  case failed
  /// Without a checkpoint, and nobody is working on it.
  case incomplete = "not started"
}

package struct RunView: Sendable {
  package var path: String
  package var name: String
  package var state: RunState
  /// Nil where the run has not come to its first step.
  package var facts: RunFacts?
  package var history: RunHistory
  /// The resolved recipe, as its file spells it.
  package var recipeText: String
  package var recipe: JSONValue
  package var checkpointSteps: [Int]
  package var samples: [AnswerSample]
  /// The adapter's model card.
  package var card: String?

  /// Whether a folder is a run's.
  package static func isRun(_ path: String, _ files: any FileSystem = PosixFileSystem()) -> Bool {
    let recipe = try? files.status(FilePath.join(path, RunDirectory.recipeName))
    return recipe.flatMap { $0 }?.kind == .file
  }

  /// - Parameter state: where the caller knows it; else the folder tells.
  /// - Throws: exit code 66 where there is no run.
  package init(
    _ path: String, state: RunState? = nil, _ files: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    guard Self.isRun(path, files) else {
      throw Diagnostic(
        .pathMissing, "there is no run here", at: .file(path),
        remedy: "give the output folder of `qlora train`; `qlora runs ls` lists those below runs/")
    }
    func bytes(_ name: String) -> [UInt8] {
      let file = FilePath.join(path, name)
      guard (try? files.status(file))?.kind == .file else { return [] }
      return (try? files.readAll(file)) ?? []
    }
    self.path = path
    recipeText = String(decoding: bytes(RunDirectory.recipeName), as: UTF8.self)
    recipe = (try? JSONValue(parsing: Array(recipeText.utf8))) ?? .null
    name = recipe["name"]?.stringValue ?? FilePath.lastComponent(of: path)
    history = RunHistory(metrics: bytes("metrics.jsonl"))
    facts = Self.facts(path, files)
    checkpointSteps =
      try CheckpointStore(FilePath.join(path, RunDirectory.checkpointsName), files).steps()
    samples = AnswerSample.list(bytes(AnswerSample.fileName))
    let card = bytes("adapter/README.md")
    self.card = card.isEmpty ? nil : String(decoding: card, as: UTF8.self)
    self.state = state ?? Self.state(path, files)
  }

  /// What the folder tells; of its files `run.json` alone is read.
  package static func state(
    _ path: String, _ files: any FileSystem = PosixFileSystem()
  ) -> RunState {
    if RunLock.isHeld(path) { return .running }
    let adapter = FilePath.join(path, "adapter/adapter_config.json")
    if (try? files.status(adapter))?.kind == .file { return .finished }
    if facts(path, files)?.failure != nil { return .failed }
    let checkpoints = CheckpointStore(FilePath.join(path, RunDirectory.checkpointsName), files)
    return (try? checkpoints.steps())?.isEmpty == false ? .interrupted : .incomplete
  }

  private static func facts(_ path: String, _ files: any FileSystem) -> RunFacts? {
    guard let bytes = try? files.readAll(FilePath.join(path, RunDirectory.factsName)) else {
      return nil
    }
    return (try? JSONValue(parsing: bytes)).map(RunFacts.init(json:))
  }

  /// Optimizer steps done, of those that the log has.
  package var step: Int { history.steps.last?.step ?? checkpointSteps.first ?? 0 }
  package var stepCount: Int? {
    facts.flatMap { $0.stepCount > 0 ? $0.stepCount : nil }
      ?? recipe["training"]?["steps"]?.intValue
  }
  package var lastLoss: Double? { history.steps.last?.loss }
  package var evaluationLoss: Double? { history.evaluations.last?.loss }
  package var evaluationAccuracy: Double? { history.evaluations.last?.accuracy }

  /// The folder of the checkpoint that was saved at a step, where it is still there.
  package func checkpoint(step: Int) -> String? {
    guard checkpointSteps.contains(step) else { return nil }
    return CheckpointStore(FilePath.join(path, RunDirectory.checkpointsName)).path(step: step)
  }

  /// Seconds that the rest takes at the pace so far.
  package var secondsLeft: Double? {
    guard let stepCount, step > 0, step < stepCount else { return nil }
    return history.elapsedSeconds / Double(step) * Double(stepCount - step)
  }

  /// - Throws: `pathMissing` where there is no folder of this name.
  package static func requireFolder(
    _ path: String, _ files: any FileSystem = PosixFileSystem()
  ) throws {
    let status = try diagnosing { () throws(FileFailure) in try files.status(path) }
    if let status, status.kind != .file { return }
    throw Diagnostic(
      .pathMissing, status == nil ? "there is no such folder" : "this is no folder",
      at: .file(path), remedy: "give the folder that runs lie in, or one of them")
  }

  /// The runs in a folder and in the folders below it, by path.
  package static func runs(
    below folder: String, _ files: any FileSystem = PosixFileSystem()
  ) -> [String] {
    if isRun(folder, files) { return [folder] }
    // Deeper than a project's runs are ever sorted; a folder of links can't keep us for ever.
    let deepest = 4
    func search(_ folder: String, _ depth: Int) -> [String] {
      guard depth < deepest, let names = try? files.list(folder) else { return [] }
      return names.filter { !$0.hasPrefix(".") }.flatMap { name -> [String] in
        let path = FilePath.join(folder, name)
        guard (try? files.status(path))?.kind == .directory else { return [] }
        return isRun(path, files) ? [path] : search(path, depth + 1)
      }
    }
    return search(folder, 0)
  }
}
