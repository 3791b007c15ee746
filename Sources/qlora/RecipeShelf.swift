// Finds the folder of recipes that comes with the program.
import QLoRADiagnostics
import QLoRARecipe

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct RecipeShelf {
  let folder: String

  /// The first `Recipes` folder at or above the program's own place (a checkout's build folder),
  /// in its `share/qlora` (an installation), or at or above the working directory.
  static func find() throws(Diagnostic) -> RecipeShelf {
    let program =
      (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
      ?? CommandLine.arguments.first ?? ""
    for start in [program, FileManager.default.currentDirectoryPath + "/."] {
      var parts = start.split(separator: "/").dropLast()
      while true {
        let base = parts.isEmpty ? "" : "/" + parts.joined(separator: "/")
        for folder in ["\(base)/Recipes", "\(base)/share/qlora/Recipes"]
        where FileManager.default.fileExists(atPath: folder + "/README.md") {
          return RecipeShelf(folder: folder)
        }
        if parts.popLast() == nil { break }
      }
    }
    throw Diagnostic(
      .unknownRecipeName, "the Recipes folder was not found beside the program",
      remedy: "run qlora from its checkout")
  }

  func recipes() throws(Diagnostic) -> [(name: String, path: String)] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return files.filter { $0.hasSuffix(".json") }.sorted().map { file in
      (String(file.dropLast(".json".count)), "\(folder)/\(file)")
    }
  }

  func contents(of name: String) throws(Diagnostic) -> Data {
    let wanted = name.hasSuffix(".json") ? String(name.dropLast(".json".count)) : name
    let all = try recipes()
    guard let found = all.first(where: { $0.name == wanted }),
      let contents = FileManager.default.contents(atPath: found.path)
    else {
      throw Diagnostic(
        .unknownRecipeName, "there is no recipe \"\(name)\"",
        remedy: "there are: \(all.map(\.name).joined(separator: ", "))")
    }
    return contents
  }
}
