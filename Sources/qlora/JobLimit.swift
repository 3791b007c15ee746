// The end of the job that this process belongs to, as a scheduler's environment tells it.
#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

enum JobLimit {
  /// Until the time of `SLURM_JOB_END_TIME`, in seconds since 1970; nil where that is not set, or
  /// is no number.
  static var secondsLeft: Double? {
    ProcessInfo.processInfo.environment["SLURM_JOB_END_TIME"].flatMap(Double.init)
      .map { $0 - Date().timeIntervalSince1970 }.flatMap { $0.isFinite ? $0 : nil }
  }
}
