// Where the paths of a recipe point to: inputs to what exists, the output to the working directory.
#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct RecipePaths {
  /// Where inputs are looked up, in order.
  let inputFolders: [String]
  let workingDirectory: String

  init(recipeFile: String?, workingDirectory: String) {
    self.workingDirectory = workingDirectory
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
    recipe.model.path = input(recipe.model.path)
    recipe.adapter.initializeFrom = recipe.adapter.initializeFrom.map(input)
    for index in recipe.data.train.indices {
      recipe.data.train[index].path = input(recipe.data.train[index].path)
    }
    for index in recipe.data.validation.indices {
      recipe.data.validation[index].path = input(recipe.data.validation[index].path)
    }
    recipe.output = RecipePaths.normalize(RecipePaths.join(workingDirectory, recipe.output))
  }

  private func input(_ path: String) -> String {
    for folder in inputFolders {
      let candidate = RecipePaths.normalize(RecipePaths.join(folder, path))
      if FileManager.default.fileExists(atPath: candidate) { return candidate }
    }
    return path
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
