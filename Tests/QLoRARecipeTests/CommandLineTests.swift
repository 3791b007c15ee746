// The built `qlora` command: what it prints where, and with which exit code it ends.
import Foundation
import QLoRADiagnostics
import TestSupport
import Testing

@Suite struct CommandLineTests {
  struct Ending {
    let output: String
    let errors: String
    let code: Int32
  }

  /// Runs the command that was built beside these tests.
  private func qlora(
    _ arguments: [String], environment: [String: String] = [:]
  ) throws -> Ending {
    let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let process = Process()
    process.executableURL = URL(filePath: tests).deletingLastPathComponent()
      .appending(path: "qlora")
    process.arguments = arguments
    process.currentDirectoryURL = Goldens.repository
    process.environment = ["PATH": "/usr/bin:/bin"].merging(environment) { $1 }
    let folder = try TemporaryFolder()
    let files = ["out", "err"].map { folder.url.appending(path: $0) }
    for file in files { try Data().write(to: file) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: files[0])
    process.standardError = try FileHandle(forWritingTo: files[1])
    try process.run()
    process.waitUntilExit()
    let texts = try files.map { try String(contentsOf: $0, encoding: .utf8) }
    return Ending(output: texts[0], errors: texts[1], code: process.terminationStatus)
  }

  /// Puts a recipe and the inputs of the least one into a folder, for as long as `body` runs.
  private func withRecipe(_ text: String, _ body: (String, TemporaryFolder) throws -> Void) throws {
    let folder = try TemporaryFolder()
    for (name, contents) in [("r.json", text), ("m.gguf", ""), ("t.jsonl", "")] {
      try Data(contents.utf8).write(to: folder.url.appending(path: name))
    }
    try body(folder.path("r.json"), folder)
  }

  /// Whatever the parser finds has a code of its own, also numbers below zero.
  @Test(arguments: [
    (["quantize", "m", "--output", "o", "--blocksize", "48"], "--blocksize must be 32"),
    (["quantize", "m", "--output", "o", "--blocksize", "-1"], "--blocksize must be 32"),
    (
      ["quantize", "m", "--output", "o", "--type", "int8", "--threshold", "-3"],
      "--threshold must be 0 or more, found -3.0"
    ),
    (
      ["quantize", "m", "--output", "o", "--type", "int8", "--blocksize", "64"],
      "--blocksize is for --type nf4 and fp4 only"
    ),
    (
      ["quantize", "m", "--output", "o", "--type", "int8", "--no-double-quant"],
      "--no-double-quant is for --type nf4 and fp4 only"
    ),
    (["preview", "r.json", "-n", "-1"], "-n must be at least 1."),
    (["preview", "r.json", "-n", "x"], "The value 'x' is invalid"),
    (["eval", "--model", "m", "--data", "d", "--quantization", "q"], "--quantization must be nf4"),
    (["eval", "--model", "m", "--data", "d", "--format", "zz"], "is not a row format"),
    (["eval", "--model", "m", "--data", "d", "--threads", "-2"], "--threads must not be negative"),
    (["train"], "Missing expected argument"), (["nonsense"], "Unexpected argument"),
  ])
  func wrongArgumentsHaveACode(arguments: [String], message: String) throws {
    let ending = try qlora(arguments)
    #expect(ending.code == 64 && ending.output == "")
    #expect(ending.errors.hasPrefix("error[E0907]: "), "\(ending.errors)")
    #expect(ending.errors.contains(message), "\(ending.errors)")
    #expect(ending.errors.contains("Usage: qlora"), "\(ending.errors)")
  }

  @Test func runsOfNoFolder() throws {
    let folder = try TemporaryFolder()
    let missing = try qlora(["runs", "ls", folder.path("nope")])
    #expect(missing.code == 66 && missing.errors.contains("error[E0703]"))
    let empty = try qlora(["runs", "ls", folder.path("")])
    #expect(empty.code == 0 && empty.errors.contains("no runs below"))
  }

  @Test func validRecipe() throws {
    try withRecipe(RecipeTexts.least) { path, folder in
      let ending = try qlora(["validate", path, "--set", "threads=3", "--json"])
      #expect(ending.code == 0 && ending.errors == "")
      #expect(ending.output.hasPrefix(#"{"name":"r","model":{"path":"\#(folder.path("m.gguf"))""#))
      #expect(ending.output.contains(#""threads":3"#))
      #expect(ending.output.count { $0 == "\n" } == 1)
    }
  }

  @Test func everyErrorOfARecipe() throws {
    try withRecipe(#"{"modl":{},"data":{"train":[{"path":"nix"}]}}"#) { path, _ in
      let ending = try qlora(["validate", path])
      #expect(ending.code == 64 && ending.output == "")
      let lines = ending.errors.split(separator: "\n")
      try #require(lines.count == 3)
      #expect(lines[0].hasPrefix("\(path):1:1: error[E0107]: model.path is missing"))
      #expect(lines[1].hasSuffix(#"error[E0102]: unknown key "modl"; did you mean "model"?"#))
      #expect(lines[2].contains("error[E0112]: data.train.0.path"))
    }
  }

  @Test func theCacheIsEmptyAtFirstAndItsVariablesAreChecked() throws {
    let folder = try TemporaryFolder()
    let place = ["QLORA_CACHE": folder.path("cache"), "HF_HOME": folder.path("hub")]
    for arguments in [["ls", "--json"], ["verify"], ["prune"], ["prune", "--all"]] {
      let ending = try qlora(["cache"] + arguments, environment: place)
      #expect(ending.code == 0 && ending.output == "" && ending.errors == "", "\(arguments)")
    }
    #expect(try qlora(["cache", "ls"], environment: ["QLORA_CACHE": "off"]).code == 0)
    #expect(try qlora(["cache", "prune", "--to", "much"], environment: place).code == 64)
    let wrong = try qlora(
      ["cache", "ls"], environment: place.merging(["QLORA_CACHE_LIMIT": "much"]) { $1 })
    #expect(wrong.code == 64 && wrong.errors.contains("error[E0572]"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path()).isEmpty)
  }

  @Test func modelsOfTheHubAreFoundOrNamed() throws {
    let folder = try TemporaryFolder()
    let place = ["HF_HOME": folder.path("hub"), "HF_HUB_OFFLINE": "1", "QLORA_CACHE": "off"]
    let missing = try qlora(["inspect", "org/tiny"], environment: place)
    #expect(missing.code == 66 && missing.errors.contains("`qlora download org/tiny`"))
    let offline = try qlora(["download", "org/tiny"], environment: place)
    #expect(offline.code == 66 && offline.errors.contains("error[E0961]"))
    #expect(try qlora(["download", "../x"], environment: place).code == 64)
    let commit = String(repeating: "b2", count: 20)
    let snapshot = folder.url.appending(path: "hub/hub/models--org--tiny/snapshots/\(commit)")
    try FileManager.default.createDirectory(
      at: snapshot.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.copyItem(at: Goldens.url("tiny-llama"), to: snapshot)
    let found = try qlora(["inspect", "org/tiny@\(commit)", "--json"], environment: place)
    #expect(found.code == 0 && found.output.hasPrefix("{\"kind\":"))
    let listed = try qlora(["cache", "ls", "--json"], environment: place)
    #expect(listed.output.contains("\"commits\":[\"\(commit)\"]"))
  }

  @Test func missingInputsEndWith66() throws {
    try withRecipe(RecipeTexts.least) { path, _ in
      let model = try qlora(["validate", path, "--set", "model.path=nix"])
      let recipe = try qlora(["validate", "nix.json"])
      #expect(model.code == 66 && recipe.code == 66)
    }
  }

  @Test func explanationNeedsNoInputs() throws {
    try withRecipe(RecipeTexts.least) { path, _ in
      let ending = try qlora(
        ["validate", path, "--set", "model.path=nix", "--explain", "training.keep"],
        environment: ["QLORA_TRAINING_KEEP": "7"])
      #expect(ending.code == 0)
      #expect(ending.output.hasPrefix("training.keep = 7\n  from     environment variable QLORA_"))
    }
  }

  @Test(arguments: [["nix"], ["validate"], ["validate", "a", "b"], ["schema", "--nix"]])
  func usageErrorsEndWith64(_ arguments: [String]) throws {
    let ending = try qlora(arguments)
    #expect(ending.code == 64 && ending.output == "" && ending.errors.contains("Usage: qlora"))
  }

  @Test func everyCommandHasHelpWithAnExample() throws {
    let overview = try qlora(["--help"])
    #expect(overview.code == 0)
    let commands = overview.output.split(separator: "\n")
      .drop { $0 != "SUBCOMMANDS:" }.dropFirst()
      .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.hasPrefix("  See") }
      .compactMap { $0.split(separator: " ").first.map(String.init) }
    #expect(commands.count >= 4)
    for command in commands {
      let help = try qlora([command, "--help"])
      #expect(help.code == 0 && help.errors == "")
      #expect(help.output.contains("Example:\n  qlora \(command)"), "\(command)")
    }
  }

  @Test func explain() throws {
    #expect(try qlora(["explain", "e0102"]).output.hasPrefix("E0102 (exit code 64)\nThe recipe"))
    #expect(try qlora(["explain", "E9"]).code == 64)
    let all = try qlora(["explain"]).output.split(separator: "\n")
    #expect(all.count > 15 && all.allSatisfy { $0.hasPrefix("E0") })
    #expect(Set(all.map { $0.prefix(5) }).count == all.count)
  }

  @Test func recipesAreListedPrintedAndCopied() throws {
    let lines = try qlora(["recipes", "ls"]).output.split(separator: "\n")
    #expect(lines.count >= 8)
    // A name, and what it is for.
    #expect(lines.allSatisfy { $0.split(separator: " ").count > 3 })
    let name = try #require(lines.first?.split(separator: " ").first.map(String.init))
    let text = try String(
      contentsOf: Goldens.repository.appending(path: "Recipes/\(name).json"), encoding: .utf8)
    #expect(try qlora(["recipes", "cat", name]).output == text)
    let folder = try TemporaryFolder()
    #expect(try qlora(["recipes", "cp", name, folder.path("c.json")]).code == 0)
    #expect(try String(contentsOfFile: folder.path("c.json"), encoding: .utf8) == text)
    #expect(try qlora(["recipes", "cp", name, folder.path("c.json")]).code == 73)
    #expect(try qlora(["recipes", "cp", name, folder.path("no/c.json")]).code == 74)
    #expect(try qlora(["recipes", "cat", "nix"]).code == 66)
  }

  @Test func configurationsAreImported() throws {
    let folder = try TemporaryFolder()
    let (config, recipe) = (folder.path("c.yml"), folder.path("r.json"))
    try Data("base_model: m\nadapter: lora\nlora_r: 8\n".utf8).write(to: URL(filePath: config))
    let printed = try qlora(["import-config", config])
    #expect(printed.code == 0 && printed.output.contains("\"rank\": 8"))
    #expect(printed.errors.contains("lora_r → adapter.rank = 8"))
    #expect(try qlora(["import-config", config, "--output", recipe]).output == recipe + "\n")
    #expect(try String(contentsOfFile: recipe, encoding: .utf8) == printed.output)
    #expect(try qlora(["import-config", config, "--output", recipe]).code == 73)
    let json = try qlora(["import-config", config, "--json"])
    #expect(json.errors == "" && json.output.hasPrefix("{\"tool\":\"axolotl\""))
    #expect(try qlora(["import-config", "nix.yml"]).code == 66)
    #expect(try qlora(["import-config", config, "--from", "nix"]).code == 64)
  }

  @Test(arguments: ["2020-12", "07"]) func schemasOfBothDrafts(draft: String) throws {
    #expect(try qlora(["schema", "--draft", draft]).output.contains(draft))
    #expect(try qlora(["schema", "--draft", "04"]).code == 64)
  }

  @Test func schemaIsJSON() throws {
    let ending = try qlora(["schema"])
    let object = try JSONSerialization.jsonObject(with: Data(ending.output.utf8))
    #expect((object as? [String: Any])?["title"] as? String == "qlora recipe")
  }
}
