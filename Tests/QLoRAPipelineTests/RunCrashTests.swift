// A whole run fails or dies at each of its file operations in turn, from making its folder and
// recording its recipe to the export of the adapter; what follows always ends with the same bits.
// `CrashTests` of the trainer has saving and pruning.
import Foundation
import QLoRADiagnostics
import QLoRAPipeline
import QLoRASystem
import TestSupport
import Testing

@Suite struct RunCrashTests {
  /// Two checkpoints of which one is pruned, an evaluation, an export.
  private static let settings = [
    "training.steps=2", "training.saveEvery=1", "training.evalEvery=0", "training.keep=1",
    "training.gradientAccumulation=1",
  ]

  /// Every call with QLORA_SOAK=1; else every fourth, each fault beginning at another.
  @Test(arguments: Array(Fault.allCases.enumerated()))
  func everyFaultAtEveryCall(index: Int, fault: Fault) throws {
    let tiny = try TinyRun()
    let counting = FaultingFileSystem()
    try tiny.train("whole", Self.settings, fileSystem: counting)
    let expected = try tiny.result("whole")
    #expect(counting.callCount > 100)
    let stride = ResumeMatrixTests.isWhole ? 1 : 4
    for position in Swift.stride(from: index % stride, to: counting.callCount, by: stride) {
      let output = "run-\(position)"
      let faulty = FaultingFileSystem(at: position, fault: fault)
      _ = try? tiny.train(output, Self.settings, fileSystem: faulty)
      do {
        try tiny.resume(output)
      } catch let failure as Diagnostic where failure.code == .pathMissing {
        // Nothing was on record, and nothing is in the way.
        try tiny.train(output, Self.settings)
      }
      #expect(try tiny.result(output) == expected, "\(fault) at \(position)")
      try FileManager.default.removeItem(atPath: tiny.folder.path(output))
    }
  }

  /// Wherever the disk stores another bit than it was given, in a checkpoint or in the adapter, the
  /// folder is read back and refused, and what follows has the right bits.
  @Test func whatTheDiskAltersIsFound() throws {
    let tiny = try TinyRun()
    let counting = FaultingFileSystem(only: .write)
    try tiny.train("whole", Self.settings, fileSystem: counting)
    let expected = try tiny.result("whole")
    var refusedExports = 0
    for position in 0..<counting.callCount {
      let output = "run-\(position)"
      let faulty = FaultingFileSystem(at: position, fault: .flippedWrite, only: .write)
      do {
        try tiny.train(output, Self.settings, fileSystem: faulty)
      } catch let failure as Diagnostic where failure.code.number == "E0707" {
        refusedExports += 1
        #expect(!FileManager.default.fileExists(atPath: tiny.folder.path(output + "/adapter")))
      }
      do {
        try tiny.resume(output)
      } catch {
        // The recipe has no digest: what is altered there is there to be seen.
        #expect("\(error)".contains("recipe.resolved.json"), "write \(position): \(error)")
        continue
      }
      let result = try tiny.result(output)
      #expect(result.adapter == expected.adapter && result.optimizer == expected.optimizer)
    }
    #expect(refusedExports > 3)
  }
}
