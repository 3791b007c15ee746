// Ranges of a file that take turns in a few buffers: one thread reads them before they are wanted,
// in an order that is announced.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a reader did.
package struct ReadStatistics: Sendable, Equatable {
  package var reads = 0
  package var bytes = 0
  package var readSeconds = 0.0
  /// How long somebody waited for bytes that were not there yet.
  package var waitedSeconds = 0.0

  package init() {}
}

/// Lends one range at a time. Announcing a wrong order costs time and nothing else.
package final class ReadAhead: Sendable {
  /// Of one buffer.
  package let bufferBytes: Int
  private let core: Core
  private let thread: pthread_t

  /// The bytes that a buffer needs for the longest of `ranges`.
  package static func bufferBytes(_ ranges: [Range<Int>]) -> Int {
    ranges.map { DirectFile.blocks(around: $0).count }.max() ?? 0
  }

  /// - Parameter bufferCount: at least 2; with 3 the reader never waits for the user.
  package init(_ file: DirectFile, _ ranges: [Range<Int>], bufferCount: Int) {
    bufferBytes = Self.bufferBytes(ranges)
    core = Core(file, ranges, bufferCount: bufferCount, bufferBytes: bufferBytes)
    thread = Core.start(core)
  }

  deinit {
    core.stop()
    pthread_join(thread, nil)
  }

  /// Ranges in the order in which they will be lent next; what was announced before is forgotten.
  package func expect(_ order: [Int]) { core.expect(order) }

  /// The bytes of a range, until another one is lent. After a `failure` they are undefined.
  package func lend(_ index: Int) -> UnsafeMutableRawBufferPointer { core.lend(index) }

  /// The first read that failed; nothing is read after it.
  package var failure: FileFailure? { core.locked { $0.failure } }

  package var statistics: ReadStatistics { core.locked { $0.statistics } }
}

// SAFETY: everything that changes is touched under the mutex only. A buffer is written by the
// reading thread while `schedule` says that it holds nothing, and read by others only while its
// range is lent, which the schedule never gives away. Mutex, condition and buffers live as long as
// this object, which the thread retains.
private final class Core: @unchecked Sendable {
  private let file: DirectFile
  private let ranges: [Range<Int>]
  private let buffers: [UnsafeMutableRawBufferPointer]
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var schedule: BufferSchedule
  private var isStopping = false
  private(set) var failure: FileFailure?
  private(set) var statistics = ReadStatistics()

  init(_ file: DirectFile, _ ranges: [Range<Int>], bufferCount: Int, bufferBytes: Int) {
    self.file = file
    self.ranges = ranges
    schedule = BufferSchedule(bufferCount: bufferCount)
    buffers = (0..<bufferCount).map { _ in
      .allocate(byteCount: bufferBytes, alignment: DirectFile.alignment)
    }
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
    for buffer in buffers { buffer.deallocate() }
  }

  func locked<Result>(_ body: (Core) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(self)
  }

  /// Changes something that the other side may be waiting for.
  private func change(_ body: () -> Void) {
    pthread_mutex_lock(mutex)
    body()
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  func stop() { change { isStopping = true } }

  func expect(_ order: [Int]) { change { schedule.expect(order) } }

  func lend(_ index: Int) -> UnsafeMutableRawBufferPointer {
    let start = ContinuousClock.now
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    schedule.lend(index)
    pthread_cond_broadcast(condition)
    var isWaiting = false
    while schedule.buffer(of: index) == nil {
      isWaiting = true
      pthread_cond_wait(condition, mutex)
    }
    if isWaiting { statistics.waitedSeconds += (ContinuousClock.now - start).inSeconds }
    let (range, buffer) = (ranges[index], buffers[schedule.buffer(of: index) ?? 0])
    let first = range.lowerBound - DirectFile.blocks(around: range).lowerBound
    return UnsafeMutableRawBufferPointer(rebasing: buffer[first..<first + range.count])
  }

  private func serve() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isStopping {
      guard let (index, buffer) = schedule.next() else {
        pthread_cond_wait(condition, mutex)
        continue
      }
      if failure == nil { read(index, into: buffers[buffer]) }
      schedule.finish(index, in: buffer)
      pthread_cond_broadcast(condition)
    }
  }

  /// Unlocks for the time of the read.
  private func read(_ index: Int, into buffer: UnsafeMutableRawBufferPointer) {
    pthread_mutex_unlock(mutex)
    let start = ContinuousClock.now
    var problem: FileFailure?
    do throws(FileFailure) {
      try file.readBlocks(around: ranges[index], into: buffer)
    } catch {
      problem = error
    }
    let seconds = (ContinuousClock.now - start).inSeconds
    pthread_mutex_lock(mutex)
    failure = problem
    statistics.reads += 1
    statistics.bytes += ranges[index].count
    statistics.readSeconds += seconds
  }

  static func start(_ core: Core) -> pthread_t {
    let argument = Unmanaged.passRetained(core).toOpaque()
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Core>.fromOpaque(argument!).takeRetainedValue().serve()
        return nil
      }, argument)
    precondition(status == 0, "pthread_create failed with \(status)")
    return thread
  }
}

extension Duration {
  fileprivate var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
