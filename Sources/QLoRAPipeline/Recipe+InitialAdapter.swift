// An adapter that training begins with: it decides rank, scale and modules, which a recipe may
// repeat and not change.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRAModels
import QLoRARecipe

extension ResolvedRecipe {
  /// The recipe with rank, alpha and targets of the adapter that it begins with.
  ///
  /// - Throws: `recipeContradiction` for each that the recipe decides and that differs.
  func withInitialAdapter() throws -> ResolvedRecipe {
    guard let path = recipe.adapter.initializeFrom else { return self }
    let initial = try AdapterFolder.open(path).adapter
    let (own, config) = (recipe.adapter, initial.config)
    var problems: [Diagnostic?] = []
    if own.rank != config.rank { problems.append(contradiction("rank", own.rank, config.rank)) }
    if own.alpha != config.alpha {
      problems.append(contradiction("alpha", own.alpha, config.alpha))
    }
    let found = problems.compactMap { $0 }
    guard found.isEmpty else { throw Diagnostics(found) }
    let isOpen = !decides("adapter.targets")
    return changed { recipe in
      recipe.adapter.rank = config.rank
      // PEFT knows adapters without effect, and a recipe has no word for them.
      if config.alpha > 0 { recipe.adapter.alpha = config.alpha }
      if isOpen { recipe.adapter.targets = .names(initial.targetNames) }
    }
  }

  /// - Parameter model: with the adapter to begin with.
  func checkTargets(_ model: DecoderModel) throws {
    try checkTargets(Set(model.linears.filter { $0.adapter != nil }.map(\.name))) {
      try model.targetNames($0)
    }
  }

  /// The same of an image model.
  func checkTargets(_ model: ImageModel) throws {
    try checkTargets(Set(model.linears.filter { $0.adapter != nil }.map(\.name))) {
      try model.targetNames($0)
    }
  }

  /// - Parameters:
  ///   - adapted: modules that the adapter to begin with has weights for.
  ///   - targets: gives the modules that the recipe names.
  /// - Throws: `recipeContradiction` where the recipe names others.
  private func checkTargets(
    _ adapted: Set<String>, _ targets: (AdapterTargets) throws -> Set<String>
  ) throws {
    guard recipe.adapter.initializeFrom != nil, decides("adapter.targets"),
      try targets(recipe.adapterOptions.targets) != adapted,
      let problem = contradiction(
        of: "adapter.targets",
        "adapter.targets names other modules than the \(adapted.count) of the adapter of "
          + "adapter.initializeFrom", remedy: Self.remedy)
    else { return }
    throw problem
  }

  private static let remedy = "delete it, or begin with a fresh adapter"

  private func contradiction<Value>(
    _ key: String, _ own: Value, _ initial: Value
  ) -> Diagnostic? {
    contradiction(
      of: "adapter.\(key)",
      "adapter.\(key) is \(own), and the adapter of adapter.initializeFrom has \(initial)",
      remedy: Self.remedy)
  }
}

extension PEFTAdapter {
  /// As its configuration lists them where it lists them all, else by their whole names.
  fileprivate var targetNames: [String] {
    let modules = pairs.map(\.module)
    guard case .list(let names) = config.targets, modules.allSatisfy(config.names) else {
      return modules
    }
    return names
  }
}

extension Recipe {
  /// Puts the adapters that are to be trained on a model.
  ///
  /// - Returns: the configuration of the adapter that training begins with; nil for fresh ones.
  func addAdapters(to model: DecoderModel) throws -> PEFTAdapterConfig? {
    model.dropoutSeed = dropoutSeed
    model.neftuneAlpha = training.neftuneAlpha
    guard let path = adapter.initializeFrom else {
      try model.addAdapters(adapterOptions)
      return nil
    }
    var initial = try AdapterFolder.open(path).adapter
    try checkModules(of: initial, model.config)
    initial.config.dropout = adapter.dropout
    try model.addAdapters(initial)
    return initial.config
  }

  /// An adapter to begin with brings its modules that are trained as a whole; others cannot join.
  private func checkModules(of initial: PEFTAdapter, _ config: ModelConfig) throws {
    guard task == .language, !adapter.modulesToSave.isEmpty else { return }
    let wanted = try config.modulesToSave(adapter.modulesToSave)
    let brought = config.savableModules.filter { module in
      initial.saved.contains { saved in module.tensors.contains { $0.name == saved.name } }
    }
    guard wanted != Set(brought.map(\.module)) else { return }
    throw Diagnostic(
      .taskUnsupported,
      "adapter.modulesToSave names other modules than the adapter of adapter.initializeFrom brings",
      remedy: "delete adapter.modulesToSave, or begin with a fresh adapter")
  }
}
