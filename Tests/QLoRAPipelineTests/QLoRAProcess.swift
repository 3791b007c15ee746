// The built command as its users meet it: a process with an exit code, to be killed at any moment.
import Foundation
import TestSupport

struct QLoRAProcess {
  let process = Process()
  private let output = Pipe()

  /// The `qlora` that was built together with these tests; nil where it was not.
  static let executable: URL? = {
    let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    let places = [program, URL(filePath: CommandLine.arguments.first ?? "")]
      + Bundle.allBundles.map(\.bundleURL)
    let built = Goldens.repository.appending(path: ".build/release/qlora")
    return (places.map { $0.deletingLastPathComponent().appending(path: "qlora") } + [built])
      .first { FileManager.default.isExecutableFile(atPath: $0.path(percentEncoded: false)) }
  }()

  /// Whether to run these tests; says why not.
  static func isBuilt() -> Bool {
    if executable == nil { print("skipped: there is no qlora beside the test bundle") }
    return executable != nil
  }

  /// - Parameter shell: a command line in which `$0` is qlora and `$@` are `arguments`.
  init(_ arguments: [String], in folder: URL, shell: String = "exec \"$0\" \"$@\"") throws {
    process.executableURL = URL(filePath: "/bin/sh")
    process.arguments =
      ["-c", shell, Self.executable?.path(percentEncoded: false) ?? "qlora"] + arguments
    process.currentDirectoryURL = folder
    process.environment = ProcessInfo.processInfo.environment.merging(
      [
        "QLORA_CACHE": folder.appending(path: "cache").path(percentEncoded: false),
        "HF_HOME": folder.appending(path: "hub-home").path(percentEncoded: false),
      ]) { $1 }
    process.standardOutput = FileHandle.nullDevice
    process.standardError = output
    try process.run()
  }

  /// Waits for the end.
  /// - Returns: the exit code, 128 and the signal where there is none, and what stderr said.
  func finish() -> (code: Int32, text: String) {
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let status = process.terminationStatus
    return (process.terminationReason == .exit ? status : 128 + status, text)
  }

  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }
}
