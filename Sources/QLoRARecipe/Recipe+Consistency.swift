// Rules that more than one key takes part in; each key alone has already passed its own check.
import QLoRADiagnostics

extension RecipeDecoder {
  /// Of `epochs` and `steps`, the one from the higher layer counts; in one layer they exclude each
  /// other.
  mutating func settleDuration(in root: inout RecipeNode) {
    guard let training = root.child("training"), let epochs = training.child("epochs"),
      let steps = training.child("steps")
    else { return }
    if epochs.origin.rank == steps.origin.rank {
      let later = epochs.origin.isAfter(steps.origin) ? epochs : steps
      report(
        .recipeContradiction, "training.epochs and training.steps are both given",
        at: later.origin, remedy: "delete one of the two")
    }
    root.remove(["training", epochs.origin.rank < steps.origin.rank ? "epochs" : "steps"])
  }

  mutating func checkConsistency(of recipe: Recipe) {
    checkTask(of: recipe)
    checkImage(of: recipe)
    if !recipe.data.validation.isEmpty, recipe.data.validationSplit > 0 {
      report(
        .recipeContradiction, "data.validation and data.validationSplit are both given",
        at: origins["data.validationSplit"], remedy: "delete one of the two")
    }
    for (index, source) in recipe.data.validation.enumerated() where source.weight != 1 {
      report(
        .recipeContradiction,
        "data.validation.\(index).weight means nothing: each validation row is measured once",
        at: origins["data.validation.\(index).weight"], remedy: "delete it")
    }
    checkLabels(of: recipe)
    checkQuantization(recipe.model.quantization)
    let limit = "training.maxNonFinite"
    if recipe.training.onNonFinite == .halt, let origin = origins[limit] {
      report(
        .recipeContradiction, "\(limit) means nothing where training.onNonFinite is \"halt\"",
        at: origin, remedy: "delete it, or set training.onNonFinite to \"skip\" or \"rollback\"")
    }
    let optimizer = recipe.training.optimizer
    for key in Recipe.Optimizer.particularKeys where !optimizer.takes(key) {
      let path = "training.optimizer.\(key)"
      guard let origin = origins[path] else { continue }
      report(
        .recipeContradiction, "\(path) means nothing to \"\(optimizer.type.rawValue)\"",
        at: origin, remedy: "delete it, or choose another training.optimizer.type")
    }
  }
}

extension RecipeDecoder {
  private mutating func checkQuantization(_ chosen: Recipe.Quantization) {
    let (usual, isFourBit) = (Recipe.Quantization(), [.nf4, .fp4].contains(chosen.type))
    // A run's saved recipe has the two of 4 bits at any type, at their defaults.
    let misplaced = [
      ("threshold", "\"int8\"", chosen.type != .int8),
      ("blocksize", "\"nf4\" and \"fp4\"", !isFourBit && chosen.blocksize != usual.blocksize),
      ("doubleQuant", "\"nf4\" and \"fp4\"", !isFourBit && chosen.doubleQuant != usual.doubleQuant),
    ]
    for (key, types, isMisplaced) in misplaced where isMisplaced {
      let path = "model.quantization.\(key)"
      guard let origin = origins[path] else { continue }
      report(
        .recipeContradiction, "\(path) is for \(types) only", at: origin,
        remedy: "delete it, or choose another model.quantization.type")
    }
  }
}

extension FieldOrigin {
  fileprivate func isAfter(_ other: FieldOrigin) -> Bool {
    guard case .recipe(_, let line, let column) = self,
      case .recipe(_, let otherLine, let otherColumn) = other
    else { return false }
    return (line, column) > (otherLine, otherColumn)
  }
}
