// The adapter that a run leaves: its configuration for PEFT, and its folder.
import QLoRAFormats
import QLoRAHub
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import QLoRATraining

extension TrainingRun {
  /// - Parameters:
  ///   - isWhole: whether these are all the linears that there are.
  ///   - classifier: the head that is trained whole.
  ///   - isOfReader: whether the model reads one text and writes another.
  ///   - initial: of the adapter that training began with, whose scale is kept.
  func adapterConfig(
    _ linears: [AdaptedLinear], isWhole: Bool, classifier: Classifier? = nil,
    isOfReader: Bool = false, initial: PEFTAdapterConfig?
  ) -> PEFTAdapterConfig {
    let recipe = recipe.recipe
    let modules = linears.filter { $0.adapter != nil }
    let suffixes = Set(modules.compactMap { $0.name.split(separator: ".").last.map(String.init) })
    // Those of image models end in numbers, as modules do that are no linears; a part that sees
    // images has linears of the same suffixes. A suffix that is one of the head's too would give
    // the head an adapter where PEFT loads it.
    let bare = linears.filter { $0.adapter == nil }.map(\.name)
    let everySuffix = isWhole && (bare + (classifier?.layerNames ?? []))
      .allSatisfy { name in
        !suffixes.contains { name == $0 || name.hasSuffix("." + $0) }
      }
    // Suffixes where they say exactly which modules carry an adapter, full names where not.
    let names = everySuffix ? suffixes.sorted() : modules.map(\.name)
    // The base by its name alone: adapter files carry no place of this machine.
    var config = PEFTAdapterConfig(
      baseModel: HubCache.repositoryName(of: recipe.model.path)
        ?? FilePath.lastComponent(of: recipe.model.path), rank: recipe.adapter.rank,
      alpha: recipe.adapter.alpha, dropout: recipe.adapter.dropout, targets: .list(names))
    if let classifier {
      config.taskType = PEFTAdapterConfig.classification
      config.modulesToSave = classifier.modulesToSave
    } else if recipe.task == .language {
      if isOfReader { config.taskType = PEFTAdapterConfig.readingAndWriting }
      config.modulesToSave = recipe.adapter.modulesToSave
    }
    if let initial {
      if classifier == nil { config.modulesToSave = initial.modulesToSave }
      config.rank = initial.rank
      config.alpha = initial.alpha
      config.usesRankStabilizedScale = initial.usesRankStabilizedScale
      config.rankPattern = initial.rankPattern
      config.alphaPattern = initial.alphaPattern
    }
    return config
  }

  func exportAdapter(_ adapter: PEFTAdapter, _ facts: [(String, String)]) throws {
    if AdapterExport.isComplete(run.adapterPath, run.fileSystem) { return }
    // The folder of an earlier export that lost a file; the run gives the same bits again.
    try run.discardIncompleteAdapter()
    let held = isResuming ? try recipe.recipe.heldOptions : recipe.recipe.loadOptions
    try AdapterExport.write(
      adapter, trainedWith: held,
      labels: recipe.recipe.task == .classification ? recipe.recipe.data.labels : nil,
      name: recipe.recipe.name, facts: facts, isOfImages: recipe.recipe.task == .image,
      base: recipe.recipe.model.path, to: run.adapterPath, run.fileSystem)
  }
}
