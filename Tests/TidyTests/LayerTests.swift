// The arrows between modules: imports against the rows of Package.swift, and the laws of
// Docs/Architecture.md that rows alone don't state.
import Testing

@Suite struct LayerTests {
  /// What every target may import besides its row.
  static let system: Set<String> = [
    "Foundation", "FoundationEssentials", "Glibc", "Musl", "Darwin", "Dispatch", "Synchronization",
    "Swift", "Testing", "FoundationNetworking",
  ]

  static func rows() throws -> PackageRows {
    PackageRows(manifest: try SourceTree.file("Package.swift").text)
  }

  /// The modules that a file imports, with the line of each.
  static func imports(_ file: SourceFile) -> [(module: String, line: Int)] {
    let statement =
      #/
      ^ \s* (?: @\w+ (?: \([^)]*\) )? \s+ )*
      (?: (?: package | public | internal | private | fileprivate ) \s+ )?
      import \s+ (?: (?: struct | class | enum | protocol | func | var | typealias ) \s+ )?
      (\w+)
      /#
    return file.code.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
      .filter { $0.element.contains("import ") }
      .compactMap { line in
        line.element.firstMatch(of: statement).map { (String($0.output.1), line.offset + 1) }
      }
  }

  /// Swift's name of a target: `qlora-bench` is imported as `qlora_bench`.
  static func moduleName(_ target: String) -> String {
    target.replacing("-", with: "_")
  }

  @Test func importsStandInTheirRows() throws {
    let rows = try Self.rows()
    let violations = try SourceTree.swift().flatMap { file -> [String] in
      guard let target = file.target else { return [] }
      let isTest = file.path.hasPrefix("Tests/")
      let allowed = isTest ? rows.reachable(from: target) : rows.imports[target] ?? []
      return Self.imports(file)
        .filter { !Self.system.contains($0.module) && !allowed.contains($0.module) }
        .map { "\(file.path):\($0.line): \(target) has no \($0.module) in its row" }
    }
    expectNone(violations)
  }

  @Test func rowsNameOnlyWhatIsImported() throws {
    let files = Dictionary(grouping: try SourceTree.swiftSources(), by: { $0.target ?? "" })
    let violations = try Self.rows().imports.flatMap { target, row -> [String] in
      guard let sources = files[target] else { return [] }
      let used = Set(sources.flatMap { Self.imports($0).map(\.module) })
      return row.subtracting(used).sorted().map {
        "Package.swift:1: \(target) names \($0) and never imports it"
      }
    }
    expectNone(violations.sorted())
  }

  @Test(arguments: [
    ("QLoRACPU", ["QLoRAPipeline", "qlora-bench"]),
    ("QLoRACUDA", ["QLoRAPipeline", "qlora-bench"]),
    ("CQLoRACUDA", ["QLoRACUDA"]),
    ("CQLoRAKernels", ["QLoRACPU", "qlora-bench"]),
    ("COpenBLAS", ["QLoRACPU", "qlora-bench"]),
    ("CQLoRASystem", ["QLoRASystem"]),
    ("CQLoRATransfer", ["QLoRAHub"]),
    ("CQLoRAPictures", ["QLoRAPictures"]),
    ("QLoRARecipe", ["QLoRAImport", "QLoRAPipeline", "QLoRA", "qlora"]),
    ("Yams", ["QLoRAImport"]),
    ("ArgumentParser", ["qlora", "qlora-bench"]),
  ])
  func onlyTheseImport(_ module: String, importers: [String]) throws {
    let violations = try SourceTree.swiftSources().flatMap { file in
      Self.imports(file)
        .filter { $0.module == module && !importers.contains(file.target ?? "") }
        .map { "\(file.path):\($0.line): only \(importers) may import \(module)" }
    }
    expectNone(violations)
  }

  @Test func tensorsNeedNoFoundation() throws {
    let violations = try SourceTree.swiftSources().filter { $0.target == "QLoRATensor" }.flatMap {
      file in
      Self.imports(file).filter { $0.module.hasPrefix("Foundation") }
        .map { "\(file.path):\($0.line): \($0.module)" }
    }
    expectNone(violations)
  }

  @Test func everyTargetHasARow() throws {
    let rows = try Self.rows()
    let targets = Set(try SourceTree.swift().compactMap(\.target))
    let missing = targets.subtracting(rows.imports.keys).sorted()
    expectNone(missing)
  }
}
