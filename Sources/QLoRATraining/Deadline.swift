// When a command must have ended, such as at the limit of a scheduler's job: it asks a run to stop
// while there is still time for a save.

/// Asked as signals are, before every micro-batch.
package final class Deadline {
  /// What stands for a signal where time is up.
  package static let request: Int32 = 0

  /// Part of the whole time that is kept free besides what two more polls would take.
  private static let reserve = 0.02

  private let clock: () -> Duration
  private let limit: Duration
  private var last: Duration
  /// The longest time between two polls so far: a micro-batch, and perhaps an evaluation or a save.
  private var longest = Duration.zero

  /// - Parameters:
  ///   - limit: from now on.
  ///   - clock: time since any one moment.
  package init(_ limit: Duration, clock: @escaping () -> Duration) {
    self.clock = clock
    last = clock()
    self.limit = limit * (1 - Self.reserve) + last
  }

  /// Of a real clock that goes on while the machine sleeps.
  package convenience init(_ limit: Duration) {
    let start = ContinuousClock.now
    self.init(limit) { ContinuousClock.now - start }
  }

  private var isFirst = true

  /// `request` as soon as another micro-batch and a save might not fit.
  package func poll() -> Int32? {
    let now = clock()
    // What came before the first poll was loading, which does not come again.
    if !isFirst { longest = max(longest, now - last) }
    (isFirst, last) = (false, now)
    return now + longest * 2 >= limit ? Self.request : nil
  }
}
