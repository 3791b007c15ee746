// From a file, variables and arguments to a resolved recipe, or to all of its errors at once.
import QLoRADiagnostics
import QLoRAHub
import QLoRAJSON
import QLoRASystem

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

package enum RecipeLoader {
  /// More than any recipe needs, and little enough to refuse a data file given by mistake.
  static let maximumBytes = 1 << 20
  static let maximumDepth = 32

  /// Reads a recipe's file and lays environment and command line over it.
  ///
  /// - Parameter requiresInputs: whether an input that does not exist is an error too.
  /// - Throws: `Diagnostics` with every error there is.
  package static func load(
    path: String, overrides: [RecipeOverride] = [], environment: [String: String] = [:],
    capabilities: Capabilities = .current, requiresInputs: Bool = false,
    workingDirectory: String = FileManager.default.currentDirectoryPath
  ) throws(Diagnostics) -> ResolvedRecipe {
    let bytes = try read(path)
    return try load(
      bytes: bytes, file: path, overrides: overrides, environment: environment,
      capabilities: capabilities, requiresInputs: requiresInputs,
      workingDirectory: workingDirectory)
  }

  /// As `load(path:)`, for a text that is already in memory; `file` is for messages and for the
  /// folder that inputs are relative to.
  package static func load(
    bytes: [UInt8], file: String, overrides: [RecipeOverride] = [],
    environment: [String: String] = [:], capabilities: Capabilities = .current,
    requiresInputs: Bool = false,
    workingDirectory: String = FileManager.default.currentDirectoryPath
  ) throws(Diagnostics) -> ResolvedRecipe {
    let json = try parse(bytes, file)
    var root = RecipeNode(json, from: .recipe(file: file, line: 1, column: 1))
    var decoder = RecipeDecoder(capabilities: capabilities)
    let variables = RecipeOverride.read(environment: environment)
    if case .object = json {
      for override in variables.overrides + overrides
      where !root.set(override.path[...], RecipeNode(override.value, from: override.origin)) {
        decoder.report(
          .recipeOverride, "\(override.path.joined(separator: ".")) names no element of the list",
          at: override.origin, remedy: "indexes count from 0")
      }
      decoder.settleDuration(in: &root)
    }
    var recipe = Recipe()
    decoder.section(root, "", into: &recipe)
    decoder.settleFormats(in: &recipe)
    decoder.checkConsistency(of: recipe)
    let paths = RecipePaths(
      recipeFile: file, workingDirectory: workingDirectory,
      hub: HubCache(environment: environment))
    let resolved = finish(recipe, decoder.origins, file, paths)
    let missing = requiresInputs ? resolved.missingInputs() : []
    let problems = variables.problems + decoder.diagnostics + missing
    guard problems.isEmpty else { throw Diagnostics(problems.sorted(by: precedes)) }
    return resolved
  }

  /// The order of reading: the file from top to bottom, then variables and arguments.
  private static func precedes(_ left: Diagnostic, _ right: Diagnostic) -> Bool {
    func place(_ diagnostic: Diagnostic) -> (Int, Int) {
      guard case .position(_, let line, let column) = diagnostic.location else {
        return (Int.max, 0)
      }
      return (line, column)
    }
    return place(left) < place(right)
  }

  private static func finish(
    _ recipe: Recipe, _ origins: [String: FieldOrigin], _ file: String, _ paths: RecipePaths
  ) -> ResolvedRecipe {
    var recipe = recipe
    if recipe.name.isEmpty { recipe.name = stem(of: file) }
    if recipe.output.isEmpty { recipe.output = "runs/\(recipe.name)" }
    paths.resolve(&recipe)
    return ResolvedRecipe(
      recipe: recipe, file: file, origins: origins, inputFolders: paths.inputFolders)
  }

  private static func stem(of file: String) -> String {
    let name = file.split(separator: "/").last.map(String.init) ?? "recipe"
    let stem = name.hasSuffix(".json") ? String(name.dropLast(".json".count)) : name
    return stem.isEmpty || stem == "." || stem == ".." ? "recipe" : stem
  }

  private static func parse(_ bytes: [UInt8], _ file: String) throws(Diagnostics) -> JSONValue {
    guard bytes.count <= maximumBytes else {
      throw Diagnostics([
        Diagnostic(
          .recipeTooLarge, "\(bytes.count) bytes are more than the \(maximumBytes) of a recipe",
          at: .file(file))
      ])
    }
    // The decoder reports duplicates itself, so that one of them does not hide the other errors.
    let options = JSONReadOptions(
      allowsComments: true, maximumDepth: maximumDepth, rejectsDuplicateKeys: false)
    do {
      return try JSONValue(parsing: bytes, options: options)
    } catch {
      let place = DiagnosticLocation.position(
        file: file, line: error.position.line, column: error.position.column)
      let code: DiagnosticCode = error.kind == .depth ? .recipeTooLarge : .recipeSyntax
      throw Diagnostics([Diagnostic(code, error.message, at: place)])
    }
  }

  private static func read(_ path: String) throws(Diagnostics) -> [UInt8] {
    func unreadable(_ reason: String, _ remedy: String? = nil) -> Diagnostics {
      Diagnostics([Diagnostic(.recipeUnreadable, reason, at: .file(path), remedy: remedy)])
    }
    do throws(Diagnostic) {
      let file = try InputFile(path: path)
      guard file.byteCount <= maximumBytes else {
        throw Diagnostic(
          .recipeTooLarge,
          "\(file.byteCount) bytes are more than the \(maximumBytes) of a recipe",
          at: .file(path))
      }
      return try file.bytes(0..<file.byteCount)
    } catch {
      switch error.code {
      case .fileMissing:
        throw unreadable(
          "the recipe does not exist", "`qlora recipes ls` lists recipes to begin with")
      case .fileNotRegular:
        throw unreadable("the recipe is \(InputFile.kind(at: path))", "name a file in it")
      case .fileUnreadable:
        throw Diagnostics([
          Diagnostic(
            error.code, "the recipe \(error.message)", at: error.location,
            remedy: "check its permissions and those of the folders above")
        ])
      default: throw Diagnostics([error])
      }
    }
  }
}
