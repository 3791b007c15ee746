// How often and when a question is asked again.

package struct RetryPolicy: Sendable {
  /// Tries in a row that bring nothing worth the name.
  package var fruitlessTries = 6
  /// After the first of them; each further one doubles it.
  package var firstPause = Duration.seconds(1)
  package var longestPause = Duration.seconds(30)
  /// The longest wait that a server may ask for.
  package var longestRequestedPause = Duration.seconds(300)
  /// From so many new bytes on a try that broke off was not in vain. With `slowBytes` of
  /// `TransferLimits` this bounds what a hostile server can make a download take.
  package var fruitfulBytes = 1024

  package init() {}
}

/// The tries of one question.
struct RetryCourse {
  private let policy: RetryPolicy
  private var fruitless = 0

  init(_ policy: RetryPolicy) { self.policy = policy }

  /// How long to wait before the next try; nil: it is given up.
  mutating func pause(after answer: HubAnswer, isFruitful: Bool) -> Duration? {
    if isFruitful {
      fruitless = 0
      return .zero
    }
    fruitless += 1
    guard fruitless < policy.fruitlessTries else { return nil }
    let growing = policy.firstPause * (1 << (fruitless - 1))
    let asked = answer.head.fields["retry-after"].flatMap { Int($0) }
      .map { min(.seconds(max(0, $0)), policy.longestRequestedPause) }
    return max(min(growing, policy.longestPause), asked ?? .zero)
  }
}
