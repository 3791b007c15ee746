// Persistent worker threads that share out the items of one parallel loop at a time. It orders no
// tasks and nests no loops; who computes an item never changes what is computed.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import CQLoRAKernels
import Synchronization

/// A fixed number of threads, the caller being one of them.
package final class ThreadPool: Sendable {
  package let threads: Int
  /// Whether loops are passed over, as a shape-only backend wants.
  private let isIdle: Bool
  private let core: Core
  private let workers: [pthread_t]

  /// - Parameters:
  ///   - threads: 0 means one per core that this process may use.
  ///   - isIdle: pass over every loop; no worker is started.
  package init(threads: Int = 0, isIdle: Bool = false) {
    self.isIdle = isIdle
    self.threads = threads > 0 ? threads : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let core = Core()
    self.core = core
    workers = (1..<(isIdle ? 1 : max(1, self.threads))).map { Core.start(core, worker: $0) }
  }

  deinit {
    core.stop()
    for worker in workers { pthread_join(worker, nil) }
  }

  /// Calls `body` once for every item in `0 ..< count`, on all threads; items go out in ascending
  /// order. Returns when every item is done.
  package func run(_ count: Int, _ body: (_ item: Int) -> Void) {
    run(count) { item, _ in body(item) }
  }

  /// As above; `worker` in `0 ..< threads` names the thread, for scratch memory of its own.
  package func run(_ count: Int, _ body: (_ item: Int, _ worker: Int) -> Void) {
    if count <= 0 || isIdle { return }
    if count == 1 || workers.isEmpty {
      for item in 0..<count { body(item, 0) }
      return
    }
    withoutActuallyEscaping(body) { core.run(count, $0) }
  }
}

// SAFETY: `job` and `count` are written only while the gate is closed and `left` equals the number
// of workers that entered, that is while no worker looks at them; opening the gate releases them
// and passing it acquires them. The mutex and the condition live as long as this object, which
// every worker retains.
private final class Core: @unchecked Sendable {
  private static let closed = -1
  /// About 20 µs: shorter than a sleep and wake, longer than the gaps between loops of one step.
  private static let spins = 2_000

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let runMutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  private var job: ((Int, Int) -> Void)?
  private var count = 0
  private let next = Atomic<Int>(0)
  /// How many workers entered this loop, or `closed`.
  private let gate = Atomic<Int>(closed)
  private let left = Atomic<Int>(0)
  private let generation = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)
  /// Guarded by `mutex`.
  private var sleepers = 0

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_mutex_init(runMutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    pthread_mutex_destroy(runMutex)
    condition.deallocate()
    mutex.deallocate()
    runMutex.deallocate()
  }

  func run(_ count: Int, _ body: @escaping (Int, Int) -> Void) {
    pthread_mutex_lock(runMutex)
    defer { pthread_mutex_unlock(runMutex) }
    job = body
    self.count = count
    next.store(0, ordering: .relaxed)
    left.store(0, ordering: .relaxed)
    gate.store(0, ordering: .releasing)
    announce()
    work(body, count, worker: 0)
    // A worker that has not woken by now finds the gate closed, so nobody waits for it.
    let entered = gate.exchange(Self.closed, ordering: .acquiringAndReleasing)
    var tries = 0
    while left.load(ordering: .acquiring) != entered {
      tries += 1
      if tries % 4_096 == 0 { sched_yield() } else { qlora_spin_pause() }
    }
    job = nil
  }

  func stop() {
    stopping.store(true, ordering: .releasing)
    announce()
  }

  private func announce() {
    pthread_mutex_lock(mutex)
    generation.add(1, ordering: .releasing)
    if sleepers > 0 { pthread_cond_broadcast(condition) }
    pthread_mutex_unlock(mutex)
  }

  private func work(_ body: (Int, Int) -> Void, _ count: Int, worker: Int) {
    while true {
      let item = next.add(1, ordering: .relaxed).oldValue
      if item >= count { return }
      body(item, worker)
    }
  }

  private func enter() -> Bool {
    var seen = gate.load(ordering: .relaxed)
    while seen != Self.closed {
      let (done, now) = gate.compareExchange(
        expected: seen, desired: seen + 1, ordering: .acquiring)
      if done { return true }
      seen = now
    }
    return false
  }

  /// Waits until the generation differs from `seen`: first spinning, then asleep.
  private func wait(after seen: Int) -> Int {
    for _ in 0..<Self.spins {
      let now = generation.load(ordering: .acquiring)
      if now != seen { return now }
      qlora_spin_pause()
    }
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    sleepers += 1
    while generation.load(ordering: .acquiring) == seen { pthread_cond_wait(condition, mutex) }
    sleepers -= 1
    return generation.load(ordering: .acquiring)
  }

  private func serve(worker: Int) {
    var seen = 0
    while true {
      seen = wait(after: seen)
      if stopping.load(ordering: .acquiring) { return }
      if enter() {
        if let job { work(job, count, worker: worker) }
        left.add(1, ordering: .releasing)
      }
    }
  }

  private final class Start {
    let core: Core
    let worker: Int
    init(_ core: Core, _ worker: Int) { (self.core, self.worker) = (core, worker) }
  }

  static func start(_ core: Core, worker: Int) -> pthread_t {
    let argument = Unmanaged.passRetained(Start(core, worker)).toOpaque()
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        start.core.serve(worker: start.worker)
        return nil
      }, argument)
    precondition(status == 0, "pthread_create failed with \(status)")
    return thread
  }
}
