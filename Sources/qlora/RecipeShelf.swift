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
      remedy: "run qlora from its checkout, or install it again with `make install`")
  }

  func recipes() throws(Diagnostic) -> [(name: String, path: String)] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return files.filter { $0.hasSuffix(".json") }.sorted().map { file in
      (String(file.dropLast(".json".count)), "\(folder)/\(file)")
    }
  }

  /// What each recipe teaches, by name: the second column of the folder's README.
  func purposes() -> [String: String] {
    let readme = FileManager.default.contents(atPath: "\(folder)/README.md") ?? Data()
    let rows = String(decoding: readme, as: UTF8.self).split(separator: "\n").compactMap { line in
      let cells = line.split(separator: "|").map { $0.split(separator: " ").joined(separator: " ") }
      return cells.count > 2 && cells[0].hasPrefix("`")
        ? (cells[0].filter { $0 != "`" }, cells[1].filter { $0 != "`" }) : nil
    }
    return Dictionary(rows) { first, _ in first }
  }

  func contents(of name: String) throws(Diagnostic) -> Data {
    let wanted = name.hasSuffix(".json") ? String(name.dropLast(".json".count)) : name
    let all = try recipes()
    guard let found = all.first(where: { $0.name == wanted }),
      let contents = FileManager.default.contents(atPath: found.path)
    else {
      throw Diagnostic(
        .unknownRecipeName, "there is no recipe \"\(name)\"",
        remedy: Nearness.nearest(to: wanted, among: all.map(\.name)).map {
          "did you mean \"\($0)\"?"
        } ?? "there are: \(all.map(\.name).joined(separator: ", "))")
    }
    return contents
  }
}
