// What a recipe says of telling classes apart.
import QLoRADiagnostics

extension ResolvedRecipe {
  /// The same recipe with these classes; as it is where it names its own.
  package func naming(labels: [String]) -> ResolvedRecipe {
    guard recipe.data.labels.isEmpty else { return self }
    return changed { $0.data.labels = labels }
  }
}

extension RecipeDecoder {
  mutating func checkLabels(of recipe: Recipe) {
    let labels = recipe.data.labels
    if !labels.isEmpty, Set(labels).count < max(2, labels.count) {
      report(
        .recipeContradiction,
        "data.labels must name two classes at least, and each of them once",
        at: origins["data.labels"], remedy: "correct the list, or delete it")
    }
  }
}
