// The power fails after each call of a series of saves, and whatever was not flushed is lost or
// kept at random: every checkpoint that was reported as saved, or a newer one, still loads.
import QLoRADiagnostics
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite struct PowerLossTests {
  private static let directory = "/runs/one/checkpoints"
  /// Disks to look at for each place of the cut.
  private static let trialCount = 200

  private func content(step: Int) -> [UInt8] {
    (0..<300).map { UInt8(truncatingIfNeeded: $0 * step) }
  }

  /// Saves four checkpoints, keeping two.
  /// - Returns: the last step whose save returned.
  private func saveSeries(_ fileSystem: PowerLossFileSystem) -> Int {
    let store = CheckpointStore(Self.directory, fileSystem)
    var saved = 0
    for step in 1...4 {
      do {
        _ = try store.save(step: step, expectedByteCount: 300, facts: [], keep: 2) { directory in
          try directory.write("weights", content(step: step))
          try directory.write("state", [UInt8(step)])
        }
      } catch { return saved }
      saved = step
    }
    return saved
  }

  @Test func committedCheckpointsSurvive() throws {
    let counting = PowerLossFileSystem()
    #expect(saveSeries(counting) == 4)
    var generator = SeededGenerator(seed: 7)
    var diskCount = 0
    var tornCount = 0
    for limit in 0...counting.callCount {
      let fileSystem = PowerLossFileSystem(callLimit: limit)
      let saved = saveSeries(fileSystem)
      for _ in 0..<Self.trialCount {
        diskCount += 1
        let disk = fileSystem.afterPowerLoss(&generator)
        let store = CheckpointStore(Self.directory, disk)
        let newest = try store.newestIntact { _ in tornCount += 1 }
        #expect((newest?.step ?? 0) >= saved, "cut after call \(limit)")
        guard let newest else { continue }
        let weights = try newest.manifest.read("weights", of: newest.path, disk)
        #expect(weights == content(step: newest.step))
      }
    }
    #expect(diskCount >= 10_000)
    // No name of a checkpoint ever shows before its content: nothing had to be passed over.
    #expect(tornCount == 0)
  }
}
