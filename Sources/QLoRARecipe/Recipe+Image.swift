// What a recipe says of image models: the task, and how training by flow matching meets noise.
import QLoRADiagnostics

extension Recipe {
  package struct Image: Sendable, Equatable {
    package enum Timesteps: String, Sendable, CaseIterable {
      case uniform
      case logitNormal = "logit-normal"
      case mode
    }

    package enum Weighting: String, Sendable, CaseIterable {
      case none, square, cosmap
      case inverseSquare = "inverse-square"
    }

    package var timesteps = Timesteps.logitNormal
    package var logitMean = 0.0
    package var logitDeviation = 1.0
    package var modeScale = 1.29
    /// nil is the pipeline's own.
    package var shift: Double?
    package var weighting = Weighting.none
    package var guidance = 3.5

    package init() {}
  }
}

extension Recipe.Image: RecipeSection {
  package static let fields: [Field<Self>] = [
    Field(
      "timesteps", \.timesteps, .choice(Timesteps.allCases.map(\.rawValue)),
      "Distribution of the noise levels that training draws."),
    Field(
      "logitMean", \.logitMean, .number(.atLeast(-100, below: 100)),
      "Mean of the normal number whose logistic function is the level; lower means more noise. "
        + "With logit-normal only.", omitted: { $0.timesteps != .logitNormal }),
    Field(
      "logitDeviation", \.logitDeviation, .number(.above(0)),
      "Its standard deviation. With logit-normal only.",
      omitted: { $0.timesteps != .logitNormal }),
    Field(
      "modeScale", \.modeScale, .number(.atLeast(-1, below: 2)),
      "How strongly levels are drawn to the middle. With mode only.",
      omitted: { $0.timesteps != .mode }),
    Field(
      "shift", \.shift, .optional(.number(.above(0))),
      "Shifts levels s to shift·s ÷ (1 + (shift − 1)·s); null takes the pipeline's own shift, or 1 "
        + "where the model is a transformer's folder or its shift depends on the image's size."),
    Field(
      "weighting", \.weighting, .choice(Weighting.allCases.map(\.rawValue)),
      "Weight of a sample's error at level s: 1, s² (square), 1 ÷ s² (inverse-square), or "
        + "2 ÷ (π·(1 − 2s + 2s²)) (cosmap)."),
    Field(
      "guidance", \.guidance, .number(.atLeast(0)),
      "Guidance that models which embed it are told, as FLUX.1-dev does."),
  ]
}

extension RecipeDecoder {
  /// The values of image models among each other.
  mutating func checkImage(of recipe: Recipe) {
    guard recipe.task == .image else { return }
    let distribution = recipe.image.timesteps
    for (key, owner) in [
      ("logitMean", Recipe.Image.Timesteps.logitNormal), ("logitDeviation", .logitNormal),
      ("modeScale", .mode),
    ] where distribution != owner {
      guard let origin = origins["image.\(key)"] else { continue }
      report(
        .recipeContradiction, "image.\(key) means nothing to \"\(distribution.rawValue)\"",
        at: origin, remedy: "delete it, or set image.timesteps to \"\(owner.rawValue)\"")
    }
  }
}
