// Rules on what code may say: no leftovers, no traps, unsafe code only where it is listed.
import Testing

@Suite struct CodeRuleTests {
  /// Files that may hold raw pointers, and what for.
  static let unsafeFiles: [String: String] = [
    "Sources/QLoRAData/Containers/GzipBytes.swift": "calls of zlib",
    "Sources/QLoRAData/Containers/ZstdBytes.swift": "calls of Zstandard",
    "Sources/QLoRAFormats/Files/HalfPrecision.swift": "widening loops",
    "Sources/QLoRAFormats/GGUF/GGUFBlocks+K.swift": "block decoders",
    "Sources/QLoRAFormats/GGUF/GGUFBlocks.swift": "block decoders",
    "Sources/QLoRAFormats/GGUF/GGUFFile.swift": "reading",
    "Sources/QLoRAFormats/Safetensors/SafetensorsFile.swift": "reading",
    "Sources/QLoRAHub/Transfer.swift": "calls of libcurl",
    "Sources/QLoRARegex/PatternSearch.swift": "calls of Oniguruma",
    "Sources/QLoRARegex/RegularExpression.swift": "calls of Oniguruma",
    "Sources/QLoRASystem/Digest.swift": "calls of xxHash",
    "Sources/QLoRASystem/FaultingFileSystem.swift": "a lock of its own",
    "Sources/QLoRASystem/DirectFile.swift": "reading",
    "Sources/QLoRASystem/Input/InputFile.swift": "reading",
    "Sources/QLoRASystem/MappedFile.swift": "mapped memory",
    "Sources/QLoRASystem/PagedMemory.swift": "mapped memory",
    "Sources/QLoRASystem/PosixFileSystem.swift": "system calls",
    "Sources/QLoRASystem/ReadAhead.swift": "buffers that two threads take turns in",
    "Sources/QLoRAText/Template/TemplateState.swift": "state of one rendering on one thread",
    "Sources/QLoRATensor/Storage.swift": "owned memory",
    "Sources/QLoRATraining/PagedStates.swift": "tensors in paged memory",
    "Sources/QLoRATensor/Tensor.swift": "typed views of memory",
    "Sources/qlora/Console.swift": "reading and writing descriptors",
  ]

  /// Targets that are about raw pointers: backends call kernels and drivers. SAFETY lines are
  /// needed all the same.
  static let unsafeTargets: Set<String> = ["QLoRACPU", "QLoRACUDA"]

  /// Executables talk to a terminal; libraries return values and events.
  static let executables: Set<String> = [
    "qlora", "qlora-bench", "make-tool-calls", "train-from-swift",
  ]

  @Test func nothingIsLeftForLater() throws {
    let files =
      try SourceTree.swift().filter { $0.target != "TidyTests" }
      + SourceTree.native() + SourceTree.scripts()
    let words = ["TODO", "FIXME", "XXX", "HACK"]
    let violations = files.flatMap {
      $0.matches(/\b(?:TODO|FIXME|XXX|HACK)\b/, with: words, in: $0.text)
    }
    expectNone(violations)
  }

  @Test func nothingTraps() throws {
    let traps = /\bfatalError\b|\btry!|\bas!/
    let words = ["fatalError", "try!", "as!"]
    let violations = try SourceTree.swiftSources().flatMap {
      $0.matches(traps, with: words, in: $0.code)
    }
    expectNone(violations)
  }

  @Test func librariesDoNotPrint() throws {
    let printing = /(?:^|[^.\w])(?:print|debugPrint|dump)\(/
    let violations = try SourceTree.swiftSources()
      .filter { !Self.executables.contains($0.target ?? "") }
      .flatMap { $0.matches(printing, with: ["print(", "Print(", "dump("], in: $0.code) }
    expectNone(violations)
  }

  /// Buffers carry their bounds and may be passed on; pointers without bounds may not.
  @Test func unsafeCodeIsListedAndExplained() throws {
    let violations = try SourceTree.swiftSources().flatMap { file -> [String] in
      let found = Self.unsafeLines(file)
      let explained = file.text.contains("// SAFETY:")
      let listed =
        Self.unsafeFiles[file.path] != nil || Self.unsafeTargets.contains(file.target ?? "")
      if found.isEmpty || (explained && listed) { return [] }
      let why = listed ? "no SAFETY line" : "not in unsafeFiles"
      return found.map { "\($0)  [\(why)]" }
    }
    expectNone(violations)
  }

  /// `path:line: line` of all that is unsafe by the law of Docs/Style.md.
  static func unsafeLines(_ file: SourceFile) -> [String] {
    let unsafe =
      #/
      \bUnsafe(?:Mutable)?(?:Raw)?Pointer\b | \.baseAddress\b | @unchecked \s Sendable
      | \bassumingMemoryBound\b | \bunsafeBitCast\b | \bUnmanaged\b | nonisolated\(unsafe\)
      /#
    let words = [
      "Unsafe", "baseAddress", "unchecked", "assumingMemoryBound", "unsafe", "Unmanaged",
    ]
    return file.matches(unsafe, with: words, in: file.code)
  }

  /// A file that needs its permission no longer loses it.
  @Test func theListOfUnsafeFilesIsCurrent() throws {
    let used = try SourceTree.swiftSources().filter { !Self.unsafeLines($0).isEmpty }.map(\.path)
    let violations = Self.unsafeFiles.keys.filter { !used.contains($0) }.sorted()
    expectNone(violations)
  }

  @Test func filesBeginWithASentence() throws {
    let files = try SourceTree.swift()
    let violations = files.filter { file in
      let head = file.lines.prefix { $0.hasPrefix("//") && !$0.hasPrefix("///") }
      return head.isEmpty || head.last?.hasSuffix(".") != true
    }
    let lines = violations.map { "\($0.path):1: \($0.lines.first ?? "")" }
    expectNone(lines)
  }

  @Test func theBuildSuitsEveryMachine() throws {
    let files =
      try SourceTree.scripts() + SourceTree.native() + [SourceTree.file("Package.swift")]
    let violations = files.flatMap {
      $0.matches(
        /-m(?:arch|tune|cpu)=native|unsafeFlags/, with: ["=native", "unsafeFlags"], in: $0.text)
    }
    expectNone(violations)
  }

  @Test func noMachineIsNamed() throws {
    let files =
      try SourceTree.swift().filter { $0.target != "TidyTests" }
      + SourceTree.native() + SourceTree.scripts() + SourceTree.documents()
      + SourceTree.files(under: ["Recipes", "Docs"], ["json", "txt"])
    let places = ["/home/", "/root/", "/Users/", "/mnt/", "/opt/"]
    let home = /(?:^|[\s"'`(=])\/(?:work|home|root|Users|mnt|opt)\/\w/
    let violations = files.flatMap { file in
      file.matches(home, with: places, in: file.text)
    }
    expectNone(violations)
  }
}
