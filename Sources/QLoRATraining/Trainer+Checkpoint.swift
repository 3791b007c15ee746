// The trainer's state to a checkpoint and back.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

/// Names of a checkpoint's files; PEFT reads the first two.
package enum CheckpointFile {
  package static let adapter = "adapter_model.safetensors"
  package static let adapterConfiguration = "adapter_config.json"
  package static let optimizer = "optimizer.safetensors"
  package static let state = "state.json"
}

extension Trainer {
  /// Room for headers and small files in the estimate of a checkpoint's size.
  private static let smallFilesByteCount = 1 << 16

  private var parameterTensors: [NamedTensor] {
    inputs.model.parameters.map { NamedTensor($0.name, $0.value) }
  }

  // MARK: Saving

  /// Saves; a failure of the disk is a warning until too many came in a row.
  func saveOrWarn() throws {
    do {
      _ = try save()
    } catch let failure as Diagnostic {
      saveFailures += 1
      if saveFailures >= options.maximumSaveFailures { throw failure }
      events(.warning(failure))
    }
  }

  /// Commits the state of the last step's end.
  /// - Returns: the checkpoint's path.
  func save() throws -> String {
    let clock = ContinuousClock()
    let start = clock.now
    // A checkpoint never holds a value that is not finite.
    try checkUpdate(state.step)
    try log?.synchronize()
    state.metricsByteCount = log?.byteCount ?? 0
    let payload = (parameterTensors + optimizer.state).reduce(0) { $0 + $1.tensor.byteCount }
    let path = try run.checkpoints.save(
      step: state.step, expectedByteCount: payload + Self.smallFilesByteCount,
      facts: manifestFacts, keep: options.keep,
      alsoKeeping: Set([rollbackStep, state.bestEvaluationStep].compactMap { $0 }), writeFiles)
    lastSavedStep = state.step
    saveFailures = 0
    events(
      .checkpointSaved(step: state.step, path: path, seconds: (clock.now - start).seconds))
    return path
  }

  private func writeFiles(_ directory: AtomicDirectory) throws {
    let metadata = [(name: "format", value: "pt")]
    for (name, tensors) in [
      (CheckpointFile.adapter, parameterTensors), (CheckpointFile.optimizer, optimizer.state),
    ] {
      let payload = tensors.reduce(0) { $0 + $1.tensor.byteCount }
      try directory.write(name, byteCount: payload) { sink in
        try inputs.artifacts.codec.encode(tensors, metadata: metadata) {
          try sink.write($0)
          optimizer.releasePages()
        }
      }
    }
    try directory.write(
      CheckpointFile.adapterConfiguration, inputs.artifacts.adapterConfiguration)
    let (identity, recipe) = (inputs.artifacts.identity, inputs.artifacts.recipe)
    let text = JSONWriter.text(state.json(identity: identity, recipe: recipe), style: .indented)
    try directory.write(CheckpointFile.state, Array((text + "\n").utf8))
    // A device that was lost while its memory was read gave zeros.
    try inputs.backend.checkHealth()
  }

  private var manifestFacts: [JSONMember] {
    let named = inputs.artifacts.identity + inputs.artifacts.provenance
    return [JSONMember("step", .int(state.step))]
      + named.map { JSONMember($0.name, .string($0.value)) }
  }

  /// Where rolling back returns to: the end of the last interval at least a step ago, since from
  /// the state of the step before, the same step would fail again. Where else the run was stopped
  /// and saved does not matter, so a resumed run returns to the same place.
  var rollbackStep: Int? {
    guard case .rollback = options.onNonFinite, options.saveEvery > 0, state.step > 0 else {
      return nil
    }
    return (state.step - 1) / options.saveEvery * options.saveEvery
  }

  // MARK: Restoring

  /// Takes over the newest intact checkpoint.
  /// - Returns: its path, or nil where the run starts at step 1.
  func restoreNewest() throws -> String? {
    let newest = try run.checkpoints.newestIntact { events(.warning($0)) }
    guard let checkpoint = newest else { return nil }
    try restore(checkpoint)
    warnOfOtherDevice(than: checkpoint)
    return checkpoint.path
  }

  /// Takes over a checkpoint: parameters, optimizer and counters.
  func restore(_ checkpoint: CheckpointStore.Checkpoint) throws {
    func bytes(_ name: String) throws -> [UInt8] {
      try checkpoint.manifest.read(name, of: checkpoint.path, run.fileSystem)
    }
    func path(_ name: String) -> String { FilePath.join(checkpoint.path, name) }
    let codec = inputs.artifacts.codec
    let restored = try TrainingState(
      parsing: try bytes(CheckpointFile.state), identity: inputs.artifacts.identity,
      file: path(CheckpointFile.state))
    let adapter = try codec.decode(
      try bytes(CheckpointFile.adapter), file: path(CheckpointFile.adapter))
    let optimizerState = try codec.decode(
      try bytes(CheckpointFile.optimizer), file: path(CheckpointFile.optimizer))
    try TensorRestoration.copy(
      adapter, into: parameterTensors, file: path(CheckpointFile.adapter))
    try optimizer.restore(
      optimizerState, step: restored.step - restored.skippedSteps,
      file: path(CheckpointFile.optimizer))
    state = restored
    lastSavedStep = restored.step
  }

  /// Other kernels round otherwise: the run is sound, but its bits are not those of one machine.
  private func warnOfOtherDevice(than checkpoint: CheckpointStore.Checkpoint) {
    let name = CheckpointArtifacts.deviceFact
    guard let now = inputs.artifacts.provenance.first(where: { $0.name == name })?.value,
      let before = checkpoint.manifest.facts.first(where: { $0.key == name })?.value.stringValue,
      before != now
    else { return }
    events(
      .warning(
        Diagnostic(
          .deviceChanged, "this run continues on \(now), and its checkpoint was made on \(before)",
          at: .file(checkpoint.path),
          remedy: "for the same bits, use a processor with the same kernels")))
  }
}

extension CheckpointStore {
  /// The resolved recipe in the newest intact checkpoint; nil where there is none, or where an
  /// earlier version made it.
  package func newestRecipe() throws(Diagnostic) -> (recipe: JSONValue, checkpoint: String)? {
    guard let newest = try newestIntact() else { return nil }
    let bytes = try newest.manifest.read(CheckpointFile.state, of: newest.path, fileSystem)
    guard let recipe = (try? JSONValue(parsing: bytes))?[TrainingState.recipeKey] else {
      return nil
    }
    return (recipe, newest.path)
  }
}
