// What is learnt, and which rows and keys belong to it alone.
import QLoRADiagnostics

extension Recipe {
  package enum Task: String, Sendable, CaseIterable {
    case language, classification, image

    /// The one format of its rows; nil where each format that no other task has will do.
    fileprivate var format: RowFormat? {
      switch self {
      case .language: nil
      case .classification: .classification
      case .image: .latents
      }
    }

    fileprivate func takes(_ format: RowFormat) -> Bool {
      self.format.map { $0 == format } ?? Self.allCases.allSatisfy { $0.format != format }
    }
  }
}

extension RecipeDecoder {
  /// Rows whose format is not said have the one that the task takes, where it takes one alone.
  func settleFormats(in recipe: inout Recipe) {
    guard let format = recipe.task.format else { return }
    func settle(_ sources: inout [Recipe.Source], _ list: String) {
      for index in sources.indices where origins["\(list).\(index).format"] == nil {
        sources[index].format = format
      }
    }
    settle(&recipe.data.train, "data.train")
    settle(&recipe.data.validation, "data.validation")
  }

  /// Each task has its own kind of rows and keys.
  mutating func checkTask(of recipe: Recipe) {
    guard !refused.contains("task") else { return }
    let lists = [("data.train", recipe.data.train), ("data.validation", recipe.data.validation)]
    for (list, sources) in lists {
      for (index, source) in sources.enumerated() where !recipe.task.takes(source.format) {
        let path = "\(list).\(index).format"
        let owner = Recipe.Task.allCases.first { $0.format == source.format }
        let remedy =
          recipe.task.format.map { "set it to \"\($0.rawValue)\"" }
          ?? "set task to \"\(owner?.rawValue ?? "")\""
        report(
          .recipeContradiction,
          "\(path) is \"\(source.format.rawValue)\", and the task is \"\(recipe.task.rawValue)\"",
          at: origins[path] ?? origins["task"], remedy: remedy)
      }
    }
    for path in Self.foreignKeys(recipe) {
      guard let origin = origins[path] else { continue }
      report(
        .recipeContradiction, "\(path) means nothing to the task \"\(recipe.task.rawValue)\"",
        at: origin, remedy: "delete it, or choose another task")
    }
  }

  private static func foreignKeys(_ recipe: Recipe) -> [String] {
    let image = Recipe.Image.fields.map { "image.\($0.schema.key)" }
    switch recipe.task {
    case .language: return image + ["data.labels"]
    case .classification: return image + ["data.trainOn", "training.samples"]
    case .image: return ["data.labels", "adapter.modulesToSave"] + languageKeys(recipe)
    }
  }

  /// Keys that only language models have a use for, where they hold another value than usual: a
  /// run's saved recipe has them all.
  private static func languageKeys(_ recipe: Recipe) -> [String] {
    let (data, training, usual) = (recipe.data, recipe.training, Recipe())
    let keys = [
      ("data.maxTokens", data.maxTokens != usual.data.maxTokens),
      ("data.packing", data.packing != usual.data.packing),
      ("data.overLength", data.overLength != usual.data.overLength),
      ("data.trainOn", data.trainOn != usual.data.trainOn),
      ("training.neftuneAlpha", training.neftuneAlpha != usual.training.neftuneAlpha),
      ("training.samples", training.samples != usual.training.samples),
    ]
    return keys.filter(\.1).map(\.0)
  }
}
