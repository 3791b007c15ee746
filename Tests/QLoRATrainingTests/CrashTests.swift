// Crash-point enumeration: a whole run fails or dies at each of its file operations in turn, with
// each kind of fault, and a resume always ends with the same bits.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite struct CrashTests {
  private func callCount(_ run: ToyRun) throws -> Int {
    let folder = try TemporaryFolder()
    let counting = FaultingFileSystem()
    var run = run
    run.fileSystem = counting
    _ = try run.train(folder.path("run"))
    return counting.callCount
  }

  private func uninterrupted(_ run: ToyRun) throws -> ToyResult {
    let folder = try TemporaryFolder()
    _ = try run.train(folder.path("run"))
    return try ToyResult(folder.path("run"))
  }

  /// Deaths meet both ways of pruning; mere errors the default one.
  static let cases = Fault.allCases.flatMap { fault in
    (fault.isCrash ? [1, 2] : [2]).map { (fault, $0) }
  }

  @Test(arguments: cases)
  func everyFaultAtEveryCall(fault: Fault, keep: Int) throws {
    let run = ToyRun(stepCount: 3, accumulation: 1, evalEvery: 2, saveEvery: 1, keep: keep)
    let expected = try uninterrupted(run)
    let count = try callCount(run)
    #expect(count > 100)
    for position in 0..<count {
      let folder = try TemporaryFolder()
      let path = folder.path("run")
      var saved = 0
      var faulty = run
      faulty.fileSystem = FaultingFileSystem(at: position, fault: fault)
      let outcome = try? faulty.train(path) { event in
        if case .checkpointSaved(let step, _, _) = event { saved = step }
      }
      let newest = try CheckpointStore(path + "/checkpoints").newestIntact()
      #expect((newest?.step ?? 0) >= saved, "\(fault) at \(position) lost a checkpoint")
      if outcome != nil { #expect(newest?.step == 3) }
      #expect(try run.train(path) == .finished(step: 3))
      #expect(try ToyResult(path) == expected, "\(fault) at \(position)")
    }
  }

  /// A disk that is full at one save is a warning; one that stays full ends the run with code 74.
  @Test func aFullDiskEndsTheRunOnlyWhenItStaysFull() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    var warnings = 0
    var run = ToyRun(stepCount: 9, saveEvery: 1)
    run.fileSystem = FaultingFileSystem(at: 0, fault: .full, only: .reserve, persists: true)
    let error = #expect(throws: Diagnostic.self) {
      try run.train(path) { event in
        if case .warning = event { warnings += 1 }
      }
    }
    #expect(error?.code == .diskFull)
    #expect(error?.code.exitCode == .inputOutput)
    #expect(warnings == 2)
    run.fileSystem = nil
    #expect(try run.train(path) == .finished(step: 9))
  }
}
