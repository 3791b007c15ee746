// Where the paths of a recipe point to: inputs to what exists, the output to the working directory.
import QLoRAHub

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct RecipePaths {
  /// Where inputs are looked up, in order.
  let inputFolders: [String]
  let workingDirectory: String
  /// Where models and data sets of the hub are looked up; nil: nowhere.
  let hub: HubCache?

  init(recipeFile: String?, workingDirectory: String, hub: HubCache? = nil) {
    self.workingDirectory = workingDirectory
    self.hub = hub
    var folders = [workingDirectory]
    if let recipeFile {
      let absolute = RecipePaths.join(workingDirectory, recipeFile)
      let folder = absolute.split(separator: "/").dropLast().joined(separator: "/")
      folders.insert(RecipePaths.normalize("/" + folder), at: 0)
    }
    inputFolders = folders.count == 2 && folders[0] == folders[1] ? [folders[0]] : folders
  }

  /// Makes every path of the recipe absolute; an input that is found nowhere stays as it is.
  func resolve(_ recipe: inout Recipe) {
    recipe.model.path = input(recipe.model.path, isModel: true)
    recipe.adapter.initializeFrom = recipe.adapter.initializeFrom.map { input($0, isModel: true) }
    for index in recipe.data.train.indices {
      recipe.data.train[index].path = input(recipe.data.train[index].path)
    }
    for index in recipe.data.validation.indices {
      recipe.data.validation[index].path = input(recipe.data.validation[index].path)
    }
    recipe.output = RecipePaths.normalize(RecipePaths.join(workingDirectory, recipe.output))
  }

  /// - Parameter isModel: whether `ORG/NAME` may be meant; data are named `hf://…`.
  private func input(_ path: String, isModel: Bool = false) -> String {
    for folder in inputFolders {
      let candidate = RecipePaths.normalize(RecipePaths.join(folder, path))
      if FileManager.default.fileExists(atPath: candidate) { return candidate }
    }
    guard let hub, isModel || path.hasPrefix(HubReference.scheme),
      let reference = HubReference(path), let place = try? hub.locate(reference)
    else { return path }
    return RecipePaths.normalize(RecipePaths.join(workingDirectory, place))
  }

  private static func join(_ folder: String, _ path: String) -> String {
    if path.hasPrefix("~/"), let home = ProcessInfo.processInfo.environment["HOME"] {
      return home + path.dropFirst()
    }
    return path.hasPrefix("/") ? path : "\(folder)/\(path)"
  }

  /// Takes `.` and empty parts out; `..` stays, because links may be on the way.
  private static func normalize(_ path: String) -> String {
    "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
  }
}
