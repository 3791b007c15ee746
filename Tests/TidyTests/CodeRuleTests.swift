// Rules on what code may say: no leftovers, no traps, unsafe code only where it is listed.
import Testing

@Suite struct CodeRuleTests {
  /// Files that may hold unsafe code: storage, thread pool, kernel calls, mapped files, C calls.
  static let unsafeFiles: Set<String> = [
    "Sources/QLoRATensor/Backend.swift",
    "Sources/QLoRATensor/Storage.swift",
    "Sources/QLoRATensor/Tensor.swift",
  ]

  /// Executables talk to a terminal; libraries return values and events.
  static let executables: Set<String> = ["qlora", "qlora-bench", "make-tool-calls"]

  @Test func nothingIsLeftForLater() throws {
    let files =
      try SourceTree.swift("Sources", "Tests").filter { $0.target != "TidyTests" }
      + SourceTree.native() + SourceTree.scripts()
    let violations = files.flatMap { $0.matches(/\b(?:TODO|FIXME|XXX|HACK)\b/, in: $0.text) }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func nothingTraps() throws {
    let traps = /\bfatalError\b|\btry!|\bas!/
    let violations = try SourceTree.swift("Sources").flatMap { $0.matches(traps, in: $0.code) }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func librariesDoNotPrint() throws {
    let printing = /(?:^|[^.\w])(?:print|debugPrint|dump)\(/
    let violations = try SourceTree.swift("Sources")
      .filter { !Self.executables.contains($0.target ?? "") }
      .flatMap { $0.matches(printing, in: $0.code) }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func unsafeCodeIsListedAndExplained() throws {
    let unsafe = /Unsafe|@unchecked Sendable|assumingMemoryBound|nonisolated\(unsafe\)/
    let violations = try SourceTree.swift("Sources").flatMap { file -> [String] in
      let found = file.matches(unsafe, in: file.code)
      let explained = file.text.contains("// SAFETY:")
      if found.isEmpty || (explained && Self.unsafeFiles.contains(file.path)) { return [] }
      let why = explained ? "not in unsafeFiles" : "no SAFETY line"
      return found.map { "\($0)  [\(why)]" }
    }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func theListOfUnsafeFilesIsCurrent() {
    let violations = Self.unsafeFiles.filter { !SourceTree.exists($0) }.sorted()
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func filesBeginWithASentence() throws {
    let files = try SourceTree.swift("Sources", "Tests")
    let violations = files.filter { file in
      let head = file.lines.prefix { $0.hasPrefix("//") && !$0.hasPrefix("///") }
      return head.isEmpty || head.last?.hasSuffix(".") != true
    }
    let lines = violations.map { "\($0.path):1: \($0.lines.first ?? "")" }
    #expect(lines.isEmpty, "\(report(lines))")
  }

  @Test func theBuildSuitsEveryMachine() throws {
    let files =
      try SourceTree.scripts() + SourceTree.native() + [SourceTree.file("Package.swift")]
    let violations = files.flatMap {
      $0.matches(/-m(?:arch|tune|cpu)=native|unsafeFlags/, in: $0.text)
    }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func noMachineIsNamed() throws {
    let files =
      try SourceTree.swift("Sources", "Tests").filter { $0.target != "TidyTests" }
      + SourceTree.native() + SourceTree.scripts() + SourceTree.documents()
      + SourceTree.files(under: ["Recipes", "Docs"], ["json", "txt"])
    let home = /(?:^|[\s"'`(=])\/(?:work|home|root|Users|mnt|opt)\/\w/
    let violations = files.flatMap { $0.matches(home, in: $0.text) }
    #expect(violations.isEmpty, "\(report(violations))")
  }
}
