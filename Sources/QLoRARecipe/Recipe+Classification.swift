// What a recipe says of telling classes apart, and what does not go with it.
import QLoRADiagnostics

extension Recipe {
  package enum Task: String, Sendable, CaseIterable { case language, classification, image }
}

extension ResolvedRecipe {
  /// The same recipe with these classes; as it is where it names its own.
  package func naming(labels: [String]) -> ResolvedRecipe {
    guard recipe.data.labels.isEmpty else { return self }
    var recipe = recipe
    recipe.data.labels = labels
    return ResolvedRecipe(
      recipe: recipe, file: file, origins: origins, inputFolders: inputFolders)
  }
}

extension RecipeDecoder {
  /// Rows with classes belong to their task, and the task's keys to no other.
  mutating func checkClassification(of recipe: Recipe) {
    let isClassification = recipe.task == .classification
    for (key, sources) in [("train", recipe.data.train), ("validation", recipe.data.validation)] {
      for (index, source) in sources.enumerated()
      where (source.format == .classification) != isClassification {
        let path = "data.\(key).\(index).format"
        report(
          .recipeContradiction,
          "\(path) is \"\(source.format.rawValue)\", and the task is "
            + "\"\(recipe.task.rawValue)\"", at: origins[path] ?? origins["task"],
          remedy: isClassification
            ? "set it to \"classification\"" : "set task to \"classification\"")
      }
    }
    let foreign =
      isClassification
      ? ["data.trainOn", "training.samples"] : ["data.labels", "adapter.modulesToSave"]
    for path in foreign {
      guard let origin = origins[path] else { continue }
      report(
        .recipeContradiction, "\(path) means nothing to the task \"\(recipe.task.rawValue)\"",
        at: origin, remedy: "delete it, or choose another task")
    }
    let labels = recipe.data.labels
    if isClassification, !labels.isEmpty, Set(labels).count < max(2, labels.count) {
      report(
        .recipeContradiction,
        "data.labels must name two classes at least, and each of them once",
        at: origins["data.labels"], remedy: "correct the list, or delete it")
    }
  }
}
