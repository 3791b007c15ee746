// The real program under real signals, real limits and real company. Everything is seeded but the
// moment at which a signal arrives, which no outcome may depend on.
import Foundation
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite(.serialized, .enabled(if: QLoRAProcess.isBuilt())) struct ProcessTests {
  /// Saves after every step, so that many signals arrive within a save.
  static let settings = ["--set", "training.steps=12", "--set", "training.saveEvery=1"]

  private func train(
    _ tiny: TinyRun, _ output: String, _ more: [String] = [], shell: String? = nil
  ) throws -> QLoRAProcess {
    let arguments = ["train", "recipe.json", "--output", output] + Self.settings + more
    return try shell.map { try QLoRAProcess(arguments, in: tiny.folder.url, shell: $0) }
      ?? QLoRAProcess(arguments, in: tiny.folder.url)
  }

  private func resume(_ tiny: TinyRun, _ output: String) throws -> QLoRAProcess {
    try QLoRAProcess(["resume", output], in: tiny.folder.url)
  }

  /// A finished run and how long it took.
  private func whole(_ tiny: TinyRun) throws -> (result: TinyResult, seconds: Double) {
    let clock = ContinuousClock()
    let start = clock.now
    let end = try train(tiny, "whole").finish()
    #expect(end.code == 0, "\(end.text)")
    let duration = clock.now - start
    return (try tiny.result("whole"), Double(duration.components.attoseconds) * 1e-18
      + Double(duration.components.seconds))
  }

  /// The command keeps the base, finds damage in it, and trains all the same.
  @Test func aDamagedCacheIsReportedAndPassedOver() throws {
    let tiny = try TinyRun()
    #expect(try train(tiny, "first").finish().code == 0)
    let bases = tiny.folder.path("cache/bases")
    let name = try #require(try PosixFileSystem().list(bases).first)
    let weights = "cache/bases/\(name)/weights.bin"
    var bytes = try tiny.bytes(weights)
    bytes[bytes.count / 2] ^= 1
    try Data(bytes).write(to: tiny.folder.url.appending(path: weights))
    let verified = try QLoRAProcess(["cache", "verify"], in: tiny.folder.url).finish()
    #expect(verified.code == 65 && verified.text.contains("error[E0570]"))
    let second = try train(tiny, "second").finish()
    #expect(second.code == 0 && second.text.contains("warning: "))
    #expect(second.text.contains("E0570"))
    #expect(try tiny.result("second") == tiny.result("first"))
    #expect(try QLoRAProcess(["cache", "verify"], in: tiny.folder.url).finish().code == 0)
    #expect(try QLoRAProcess(["cache", "prune", "--all"], in: tiny.folder.url).finish().code == 0)
    #expect(try PosixFileSystem().list(bases).isEmpty)
  }

  /// 25 runs, each killed at a random moment, half of the moments within a save, and half of the
  /// runs a second time. `Scripts/soak/kills.py` has the long version.
  @Test func killedRunsEndWithTheSameBits() throws {
    let tiny = try TinyRun()
    let (expected, seconds) = try whole(tiny)
    var generator = SeededGenerator(seed: 25)
    var resumed = 0
    var inSave = 0
    for trial in 0..<25 {
      let output = "killed-\(trial)"
      // There before the run, so that its first save can be waited for.
      try FileManager.default.createDirectory(
        atPath: tiny.folder.path("\(output)/checkpoints"), withIntermediateDirectories: true)
      var process = try train(tiny, output)
      for _ in 0...trial % 2 {
        if Bool.random(using: &generator) {
          let count = Int.random(in: 1...8, using: &generator)
          waitForSaves(count, tiny.folder.path("\(output)/checkpoints"), process)
        } else {
          Thread.sleep(forTimeInterval: .random(in: 0...seconds, using: &generator))
        }
        process.send(SIGKILL)
        _ = process.finish()
        inSave += try isCut(tiny.folder.path("\(output)/checkpoints")) ? 1 : 0
        process = try resume(tiny, output)
      }
      var end = process.finish()
      if end.code == 66 {
        // Killed before the run was on record: it was not begun.
        end = try train(tiny, output).finish()
      } else {
        resumed += 1
      }
      #expect(end.code == 0, "\(end.text)")
      #expect(try tiny.result(output) == expected, "trial \(trial)")
      let left = try FileManager.default.contentsOfDirectory(atPath: tiny.folder.path(output))
      #expect(!left.contains { $0.hasPrefix(".tmp-") || $0.hasPrefix(".trash-") })
    }
    #expect(resumed > 12)
    #expect(inSave > 0)
  }

  /// Whether a save was not over: what it had not committed or removed yet is still there.
  private func isCut(_ checkpoints: String) throws -> Bool {
    try FileManager.default.contentsOfDirectory(atPath: checkpoints)
      .contains { $0.hasPrefix(".tmp-") || $0.hasPrefix(".trash-") }
  }

  /// Until the `count`-th save that is seen has begun, or the process has ended.
  private func waitForSaves(_ count: Int, _ checkpoints: String, _ process: QLoRAProcess) {
    var left = count
    var wasSaving = false
    while process.process.isRunning, left > 0 {
      let isSaving = (try? isCut(checkpoints)) ?? false
      if isSaving, !wasSaving { left -= 1 }
      wasSaving = isSaving
    }
  }

  @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU])
  func stoppedRunsEndWithTheSameBits(signal: Int32) throws {
    let tiny = try TinyRun()
    let (expected, seconds) = try whole(tiny)
    var generator = SeededGenerator(seed: UInt64(signal))
    var stops = 0
    for trial in 0..<4 {
      let output = "stopped-\(trial)"
      let process = try train(tiny, output)
      waitFor(tiny.folder.path("\(output)/recipe.resolved.json"))
      Thread.sleep(forTimeInterval: .random(in: 0...seconds / 2, using: &generator))
      process.send(signal)
      let end = process.finish()
      #expect([0, 75].contains(end.code), "\(end.text)")
      stops += end.code == 75 ? 1 : 0
      if end.code == 75 { #expect(end.text.contains("qlora resume ")) }
      let last = try resume(tiny, output).finish()
      #expect(last.code == 0, "\(last.text)")
      #expect(try tiny.result(output) == expected, "trial \(trial)")
    }
    #expect(stops > 0)
  }

  /// The user insists: nothing is saved, and nothing that is saved is touched.
  @Test func aSecondInterruptEndsAtOnce() throws {
    let tiny = try TinyRun()
    let (expected, _) = try whole(tiny)
    let process = try train(tiny, "run")
    waitFor(tiny.folder.path("run/metrics.jsonl"))
    process.send(SIGINT)
    process.send(SIGINT)
    let end = process.finish()
    // Signals that arrive together may be taken for one.
    #expect([75, 130].contains(end.code), "\(end.text)")
    let last = try resume(tiny, "run").finish()
    #expect(last.code == 0, "\(last.text)")
    #expect(try tiny.result("run") == expected)
  }

  /// A recipe's limit, and a scheduler's.
  @Test(arguments: [["--set", "training.maxWallTime=1s"], []])
  func timeThatIsUpEndsARun(limit: [String]) throws {
    let tiny = try TinyRun()
    let end = try train(
      tiny, "run", ["--set", "training.steps=1000000"] + limit,
      shell: limit.isEmpty
        ? "SLURM_JOB_END_TIME=$(($(date +%s) + 2)) exec \"$0\" \"$@\"" : "exec \"$0\" \"$@\""
    ).finish()
    #expect(end.code == 75, "\(end.text)")
    #expect(end.text.contains("time is nearly up: stopped after step "), "\(end.text)")
    #expect(try CheckpointStore(tiny.folder.path("run/checkpoints")).newestIntact() != nil)
  }

  private func waitFor(_ path: String) {
    for _ in 0..<2000 where !FileManager.default.fileExists(atPath: path) {
      Thread.sleep(forTimeInterval: 0.005)
    }
  }

  @Test func aSecondProcessIsSentAway() throws {
    let tiny = try TinyRun()
    let first = try train(
      tiny, "run", ["--set", "training.steps=100000", "--set", "training.saveEvery=0"])
    waitFor(tiny.folder.path("run/metrics.jsonl"))
    for process in [try train(tiny, "run"), try resume(tiny, "run")] {
      let end = process.finish()
      #expect(end.code == 73 && end.text.contains("E0705"), "\(end.text)")
    }
    first.send(SIGINT)
    #expect(first.finish().code == 75)
  }

  /// The file size limit stands in for a disk that fills up: 24 KiB are more than the log needs
  /// and less than a checkpoint.
  @Test func aFullDiskLosesNothing() throws {
    let tiny = try TinyRun()
    let (expected, _) = try whole(tiny)
    let full = try train(tiny, "run", shell: "ulimit -f 24; exec \"$0\" \"$@\"").finish()
    #expect(full.code == 74, "\(full.text)")
    #expect(full.text.contains("error[E070"), "\(full.text)")
    let end = try resume(tiny, "run").finish()
    #expect(end.code == 0, "\(end.text)")
    #expect(try tiny.result("run") == expected)
  }

  /// The same for commands that know nothing of signals: an error, and no piece of a file.
  @Test(arguments: [
    ["quantize", "model", "--output", "made"],
    ["export", "run", "--format", "merged-gguf", "--output", "made"],
    ["merge", "--adapter", "run", "--output", "made"],
  ])
  func aFullDiskLeavesNothing(command: [String]) throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1"])
    let before = try FileManager.default.contentsOfDirectory(atPath: tiny.folder.path(""))
    let end = try QLoRAProcess(
      command, in: tiny.folder.url, shell: "ulimit -f 8; exec \"$0\" \"$@\""
    ).finish()
    #expect(end.code == 74, "\(end.text)")
    #expect(end.text.contains("error[E07"), "\(end.text)")
    let after = try FileManager.default.contentsOfDirectory(atPath: tiny.folder.path(""))
    #expect(Set(after) == Set(before))
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/dev/full")))
  func lostOutputIsAnError() throws {
    let tiny = try TinyRun()
    let end = try QLoRAProcess(
      ["validate", "recipe.json"], in: tiny.folder.url, shell: "exec \"$0\" \"$@\" > /dev/full"
    ).finish()
    #expect(end.code == 74 && end.text.contains("error[E0906]"), "\(end.text)")
  }

  @Test func aReaderThatLeavesIsNoError() throws {
    let tiny = try TinyRun()
    let end = try QLoRAProcess(
      ["explain"], in: tiny.folder.url, shell: "{ \"$0\" \"$@\"; } | true").finish()
    #expect(end.code == 0 && end.text.isEmpty, "\(end.text)")
  }
}
