// `--set`, QLORA_* and which of them wins.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRARecipe
import TestSupport
import Testing

@Suite struct OverrideTests {
  static let base = RecipeTexts.with("training", #""seed":1,"epochs":2"#)

  @Test func commandLineBeatsEnvironmentBeatsRecipeBeatsDefault() throws {
    let environment = ["QLORA_TRAINING_SEED": "2", "QLORA_TRAINING_KEEP": "5"]
    func seed(_ settings: [String], _ environment: [String: String]) throws -> ResolvedRecipe {
      try RecipeTexts.load(Self.base, set: settings, environment: environment)
    }
    #expect(try seed([], [:]).recipe.training.seed == 1)
    let second = try seed([], environment)
    #expect(second.recipe.training.seed == 2 && second.recipe.training.keep == 5)
    let third = try seed(["training.seed=3"], environment)
    #expect(third.recipe.training.seed == 3 && third.recipe.training.keep == 5)
    #expect(
      third.origin(of: "training.seed").description == "command line, --set training.seed=3")
    #expect(
      third.origin(of: "training.keep").description
        == "environment variable QLORA_TRAINING_KEEP")
    #expect(third.origin(of: "training.epochs").description == "recipe, r.json:1:76")
    #expect(third.origin(of: "training.batchSize").description == "default")
  }

  @Test func laterSettingsWin() throws {
    let resolved = try RecipeTexts.load(Self.base, set: ["threads=1", "threads=2"])
    #expect(resolved.recipe.threads == 2)
  }

  @Test func valuesAreJSONElseStrings() throws {
    let resolved = try RecipeTexts.load(
      Self.base,
      set: [
        "adapter.targets=[\"q_proj\"]", "output=/tmp/a=b", "name=\"123\"", "data.packing=false",
        "training.optimizer.learningRate=1e-3", "model.path=/m 2", "adapter.initializeFrom=null",
      ])
    #expect(resolved.recipe.adapter.targets == .names(["q_proj"]))
    #expect(resolved.recipe.output == "/tmp/a=b")
    #expect(resolved.recipe.name == "123")
    #expect(!resolved.recipe.data.packing)
    #expect(resolved.recipe.training.optimizer.learningRate == 1e-3)
    #expect(resolved.recipe.model.path == "/m 2")
  }

  @Test func elementsOfLists() throws {
    let resolved = try RecipeTexts.load(Self.base, set: ["data.train.0.format=text"])
    #expect(resolved.recipe.data.train == [Recipe.Source(path: "t", format: .text)])
    #expect(
      RecipeTexts.problems(Self.base, set: ["data.train.1.format=text"]) == [
        "--set data.train.1.format=text: error[E0110]: data.train.1.format names no element of "
          + "the list; indexes count from 0"
      ])
  }

  @Test func objectsAreLaidOverKeyByKey() throws {
    let resolved = try RecipeTexts.load(Self.base, set: [#"training={"keep":9}"#])
    #expect(resolved.recipe.training.keep == 9 && resolved.recipe.training.seed == 1)
  }

  @Test func theHigherLayerDecidesBetweenEpochsAndSteps() throws {
    let steps = try RecipeTexts.load(Self.base, set: ["training.steps=30"])
    #expect(steps.recipe.training.duration == .steps(30))
    #expect(steps.jsonValue["training"]?["epochs"] == nil)
    let epochs = try RecipeTexts.load(
      RecipeTexts.with("training", #""steps":9,"schedule":{"warmupSteps":20}"#),
      set: ["training.epochs=3"], environment: ["QLORA_TRAINING_STEPS": "40"])
    #expect(epochs.recipe.training.duration == .epochs(3))
  }

  @Test func faults() {
    #expect(
      RecipeTexts.problems(Self.base, set: ["training.lr=1"]) == [
        #"--set training.lr=1: error[E0102]: unknown key "lr" in training; "#
          + #""lr" is "training.optimizer.learningRate" here"#
      ])
    #expect(
      RecipeTexts.problems(Self.base, set: ["training.seed=x"]) == [
        "--set training.seed=x: error[E0104]: training.seed must be an integer of at least 0, "
          + #"found "x""#
      ])
    for argument in ["training.seed", "=3", "a..b=3", ""] {
      #expect(
        RecipeTexts.problems(Self.base, set: [argument]) == [
          "--set \(argument): error[E0110]: expected KEY=VALUE; for example --set training.seed=7"
        ])
    }
    #expect(
      RecipeTexts.problems(Self.base, environment: ["QLORA_TRAINING_SED": "3"]) == [
        "QLORA_TRAINING_SED: error[E0102]: the variable names no key of a recipe; "
          + #"did you mean "QLORA_TRAINING_SEED"?"#
      ])
  }

  @Test func variablesWithForeignNamesAreRecognised() {
    #expect(
      RecipeTexts.problems(Self.base, environment: ["QLORA_TRAINING_LR": "3"]) == [
        "QLORA_TRAINING_LR: error[E0102]: the variable names no key of a recipe; "
          + #""LR" is QLORA_TRAINING_OPTIMIZER_LEARNING_RATE here"#
      ])
  }

  @Test func variablesOfOthersAndEmptyOnesAreLeftAlone() throws {
    let environment = ["QLORA_ISA": "avx2", "QLORA_TRAINING_SEED": "", "TRAINING_SEED": "9"]
    #expect(
      try RecipeTexts.load(Self.base, environment: environment).recipe.training.seed == 1)
  }

  @Test func everyKeyHasItsOwnVariable() throws {
    let paths = FieldSchema.recipe.flattened().map(\.path)
    #expect(Set(paths.map(RecipeOverride.variable)).count == paths.count)
    #expect(
      RecipeOverride.variable(for: "training.optimizer.learningRate")
        == "QLORA_TRAINING_OPTIMIZER_LEARNING_RATE")
    #expect(RecipeOverride.variable(for: "model.computeDType") == "QLORA_MODEL_COMPUTE_DTYPE")
  }

  @Test func explanation() throws {
    let resolved = try RecipeTexts.load(Self.base)
    #expect(
      try RecipeExplanation("training.seed", in: resolved).text == """
        training.seed = 1
          from     recipe, r.json:1:67
          meaning  Seed of shuffling, dropout and fresh adapters.
          takes    an integer of at least 0
          default  0
          example  7
          set it   --set training.seed=VALUE or QLORA_TRAINING_SEED
          compare  dataseed, randomseed, randomstate
        """)
    let error = try #require(throws: Diagnostic.self) {
      try RecipeExplanation("training.sed", in: resolved)
    }
    #expect(
      error.description == "--explain training.sed: error[E0102]: a recipe has no key "
        + #""training.sed"; did you mean "seed"?"#)
  }
}
