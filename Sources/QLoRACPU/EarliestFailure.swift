// What went wrong in a parallel loop: the failure of its earliest item, whichever thread met one
// first.
import Synchronization

/// Collects the failures of one loop whose items go out in ascending order.
final class EarliestFailure: Sendable {
  private let found = Mutex<(item: Int, error: any Error)?>(nil)

  /// Runs `body` unless an earlier item has failed.
  func attempt(_ item: Int, _ body: () throws -> Void) {
    if found.withLock({ $0.map { $0.item < item } ?? false }) { return }
    do {
      try body()
    } catch {
      found.withLock { found in
        if found.map({ item < $0.item }) ?? true { found = (item, error) }
      }
    }
  }

  /// - Throws: the failure that a loop on one thread would have met.
  func rethrow() throws {
    if let error = found.withLock({ $0?.error }) { throw error }
  }
}
