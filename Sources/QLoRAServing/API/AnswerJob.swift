// Requests that wait for the one thread that computes, and what it reports of them.
import Dispatch
import QLoRAPipeline
import Synchronization

package enum AnswerEvent: Sendable {
  /// Nothing new; whether the reader is still there shows when something is written.
  case waiting
  case piece(choice: Int, AnswerPiece)
  case ended(choice: Int, Answer)
  case failed(String)
}

package final class AnswerJob: Sendable {
  let request: CompletionRequest
  let prompts: [[Int32]]
  let events: AsyncStream<AnswerEvent>.Continuation
  private let gone = Mutex(false)

  /// Between two signs of life.
  private static let pause = Duration.seconds(1)

  /// - Returns: also the events, with which the job ends when they are let go.
  package static func make(
    _ request: CompletionRequest, _ prompts: [[Int32]]
  ) -> (job: AnswerJob, events: AsyncStream<AnswerEvent>) {
    let (events, continuation) = AsyncStream.makeStream(of: AnswerEvent.self)
    let job = AnswerJob(request, prompts, continuation)
    let pulse = Task {
      while !Task.isCancelled {
        try? await Task.sleep(for: pause)
        continuation.yield(.waiting)
      }
    }
    continuation.onTermination = { _ in
      pulse.cancel()
      job.gone.withLock { $0 = true }
    }
    return (job, events)
  }

  private init(
    _ request: CompletionRequest, _ prompts: [[Int32]],
    _ events: AsyncStream<AnswerEvent>.Continuation
  ) {
    self.request = request
    self.prompts = prompts
    self.events = events
  }

  /// Says why nothing is computed any more.
  func fail(_ message: String) {
    events.yield(.failed(message))
    events.finish()
  }

  /// Whether nobody waits for it any more.
  package var isGone: Bool { gone.withLock { $0 } }

  /// Computes the answers, one after another.
  ///
  /// - Parameter isOver: whether the server is about to end.
  func perform(with model: SwitchedModel, _ isOver: () -> Bool) {
    defer { events.finish() }
    var choice = 0
    for prompt in prompts {
      for _ in 0..<request.choices {
        var options = request.answer
        options.maxTokens = request.maxTokens ?? .max
        options.sampling.seed &+= UInt64(choice)
        do {
          let answer = try model.answer(
            as: request.model, to: prompt, options, isStopped: { isGone || isOver() }
          ) { events.yield(.piece(choice: choice, $0)) }
          if answer.finishReason == .cancelled { return }
          events.yield(.ended(choice: choice, answer))
        } catch {
          return fail("\(error)")
        }
        choice += 1
      }
    }
  }
}

/// First come, first served, up to a number that waits.
package final class JobQueue: Sendable {
  private struct State {
    var jobs: [AnswerJob] = []
    /// Why nothing is taken any more.
    var closed: String?
  }

  private let capacity: Int
  private let state = Mutex(State())
  private let arrivals = DispatchSemaphore(value: 0)

  package init(capacity: Int) { self.capacity = capacity }

  /// Why nothing is taken any more; nil as long as something is.
  package var closed: String? { state.withLock { $0.closed } }

  /// Takes nothing any more, and tells those that wait why.
  package func close(_ reason: String) {
    let waiting = state.withLock { state in
      defer { state = State(closed: reason) }
      return state.jobs
    }
    for job in waiting { job.fail(reason) }
  }

  /// False where too many wait already, or it is closed.
  package func add(_ job: AnswerJob) -> Bool {
    let isTaken = state.withLock { state in
      state.jobs.removeAll(where: \.isGone)
      guard state.jobs.count < capacity, state.closed == nil else { return false }
      state.jobs.append(job)
      return true
    }
    if isTaken { arrivals.signal() }
    return isTaken
  }

  /// The next job that somebody waits for, or nil where none comes in time.
  package func next(withinMilliseconds limit: Int) -> AnswerJob? {
    guard arrivals.wait(timeout: .now() + .milliseconds(limit)) == .success else { return nil }
    return state.withLock { state in
      state.jobs.removeAll(where: \.isGone)
      return state.jobs.isEmpty ? nil : state.jobs.removeFirst()
    }
  }
}
