// What `make install` makes, used from a folder that has nothing to do with it.
import Foundation
import TestSupport
import Testing

/// The script takes what `make build` leaves.
private func canInstall() -> Bool {
  let built = Goldens.repository.appending(path: ".build/release/qlora")
  return FileManager.default.isExecutableFile(atPath: built.path(percentEncoded: false))
}

@Suite(.enabled(if: canInstall())) struct InstallTests {
  private func run(
    _ program: URL, _ arguments: [String] = [], in folder: URL,
    _ environment: [String: String] = [:]
  ) throws -> (code: Int32, output: String) {
    let process = Process()
    let output = Pipe()
    process.executableURL = program
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  @Test func recipesComeAlong() throws {
    let prefix = try TemporaryFolder()
    let script = Goldens.repository.appending(path: "Scripts/install.sh")
    let installed = try run(
      script, in: Goldens.repository, ["PREFIX": String(prefix.path("x").dropLast(2))])
    #expect(installed.code == 0)
    let qlora = prefix.url.appending(path: "bin/qlora")
    let root = URL(filePath: "/")
    let names = try FileManager.default.contentsOfDirectory(
      atPath: Goldens.repository.appending(path: "Recipes").path(percentEncoded: false)
    ).filter { $0.hasSuffix(".json") }
    let listed = try run(qlora, ["recipes", "ls", "--json"], in: root)
    #expect(listed.code == 0)
    #expect(listed.output.split(separator: "\n").count == names.count)
    let name = try #require(names.first)
    let printed = try run(qlora, ["recipes", "cat", name], in: root)
    let file = Goldens.repository.appending(path: "Recipes/\(name)")
    #expect(printed.code == 0)
    #expect(try printed.output.contains(String(contentsOf: file, encoding: .utf8)))
    let copy = prefix.path("copied.json")
    #expect(try run(qlora, ["recipes", "cp", name, copy], in: root).code == 0)
    #expect(FileManager.default.contents(atPath: copy) == (try Data(contentsOf: file)))
  }
}
