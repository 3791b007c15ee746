// Values from outside of the recipe's file: `--set` arguments and QLORA_* variables.
import QLoRADiagnostics
import QLoRAJSON

/// A value that the command line or the environment lays over the recipe.
package struct RecipeOverride: Sendable {
  let path: [String]
  let value: JSONValue
  let origin: FieldOrigin

  /// An option of its own, such as `--output DIR`.
  package init(_ path: String, _ value: JSONValue, spelled argument: String) {
    self.path = path.split(separator: ".").map(String.init)
    self.value = value
    origin = .commandLine(argument)
  }

  /// A `--set` argument, `training.seed=7`; what is not JSON is a string.
  ///
  /// - Throws: `recipeOverride` where there is no key or no equals sign.
  package init(argument: String) throws(Diagnostic) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    path = parts[0].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !path.contains("") else {
      throw Diagnostic(
        .recipeOverride, "expected KEY=VALUE", at: .file("--set \(argument)"),
        remedy: "for example --set training.seed=7")
    }
    value = RecipeOverride.value(String(parts[1]))
    origin = .commandLine("--set \(argument)")
  }

  /// A `--set` argument of `qlora resume`, which says where an input is now. What the input is
  /// stays as it was: its digest is on record.
  ///
  /// - Throws: `recipeOverride` for any other key.
  package init(moving argument: String) throws(Diagnostic) {
    try self.init(argument: argument)
    let inputs = [["model", "path"], ["adapter", "initializeFrom"]]
    let isOfData =
      path.count == 4 && path[0] == "data" && ["train", "validation"].contains(path[1])
      && path[3] == "path"
    guard inputs.contains(path) || isOfData else {
      throw Diagnostic(
        .recipeOverride, "a run goes on as its recipe says, and takes nothing but places of inputs",
        at: .file("--set \(argument)"),
        remedy: "set model.path, adapter.initializeFrom, data.train.0.path or their like, or train "
          + "into a new output directory")
    }
  }

  private init(path: String, value: JSONValue, variable: String) {
    self.path = path.split(separator: ".").map(String.init)
    self.value = value
    origin = .environment(variable)
  }

  private static func value(_ text: String) -> JSONValue {
    (try? JSONValue(parsing: text)) ?? .string(text)
  }
}

extension RecipeOverride {
  /// The variable that sets a path: `training.optimizer.learningRate` is
  /// `QLORA_TRAINING_OPTIMIZER_LEARNING_RATE`.
  package static func variable(for path: String) -> String {
    var name = "QLORA_"
    for character in path {
      if character == "." {
        name += "_"
      } else if character.isUppercase, name.last?.isLowercase == true {
        name += "_\(character)"
      } else {
        name.append(character)
      }
    }
    return name.uppercased()
  }

  /// The overrides of an environment, by name so that their order is fixed.
  ///
  /// Only variables of the recipe's sections and top-level keys count; others that begin with
  /// QLORA_ belong to somebody else. An empty variable counts as not set.
  ///
  /// - Returns: the overrides, and an error for each variable of a section that names no key.
  static func read(
    environment: [String: String]
  ) -> (overrides: [RecipeOverride], problems: [Diagnostic]) {
    let paths = FieldSchema.recipe.flattened()
    let sections = FieldSchema.recipe.children.filter { !$0.children.isEmpty }
    var overrides: [RecipeOverride] = []
    var problems: [Diagnostic] = []
    for (name, text) in environment.sorted(by: { $0.key < $1.key })
    where name.hasPrefix("QLORA_") && !text.isEmpty {
      let word = Nearness.plain(String(name.dropFirst("QLORA_".count)))
      if let found = paths.first(where: { Nearness.plain($0.path) == word }) {
        overrides.append(
          RecipeOverride(path: found.path, value: value(text), variable: name))
      } else if sections.contains(where: { name.hasPrefix("QLORA_\($0.key.uppercased())_") }) {
        problems.append(
          Diagnostic(
            .recipeUnknownKey, "the variable names no key of a recipe", at: .file(name),
            remedy: advice(onVariable: name, paths)))
      }
    }
    return (overrides, problems)
  }

  private static func advice(
    onVariable name: String, _ paths: [(path: String, schema: FieldSchema)]
  ) -> String? {
    let words = name.split(separator: "_").dropFirst(2)
    if let path = RecipeAliases.path(for: words.joined(), in: ""), !path.hasPrefix("(") {
      return "\"\(words.joined(separator: "_"))\" is \(variable(for: path)) here"
    }
    let names = paths.filter(\.schema.children.isEmpty).map { variable(for: $0.path) }
    return Nearness.nearest(to: name, among: names).map { "did you mean \"\($0)\"?" }
  }
}
