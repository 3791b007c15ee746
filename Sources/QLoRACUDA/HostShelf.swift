// Values that wait in pinned memory of the host from forward to backward. They go and come on a
// stream of their own, while the other one computes: a value's device memory is lent again when the
// next one goes, and while one is used the one before it comes back.
import CQLoRACUDA
import QLoRATensor
import Synchronization

// SAFETY: streams, events and pinned memory belong to the driver; what changes is behind the lock.
// Events order whatever the two streams share: a copy out waits for what computed the value, memory
// that is lent again for the copy out, a copy in for whoever had its memory before, and who
// reads for the copy in.
final class HostShelf: @unchecked Sendable {
  /// One value. Its fields belong to the shelf's lock.
  final class Item {
    let byteCount: Int
    /// nil on a hollow device.
    fileprivate let pinned: UnsafeMutableRawPointer?
    fileprivate let event: qlora_cuda_handle?
    /// The device's memory while it leaves, or when it is back ahead of its use.
    fileprivate var block: DeviceBlock?
    fileprivate let shelf: HostShelf

    fileprivate init(_ shelf: HostShelf, _ block: DeviceBlock, _ place: Place?) {
      self.shelf = shelf
      self.block = block
      byteCount = block.byteCount
      (pinned, event) = (place?.pinned, place?.event)
    }

    /// Device memory with the value, which leaves the shelf.
    func bring() -> DeviceBlock { shelf.bring(self) }
    /// Forgets the value.
    func drop() { shelf.drop(self) }
  }

  /// Where a value waits, and the event of its last copy.
  fileprivate struct Place {
    let pinned: UnsafeMutableRawPointer
    let event: qlora_cuda_handle
  }

  // SAFETY: only the lock's holder has it.
  private struct State: @unchecked Sendable {
    /// In the order in which they came.
    var items: [Item] = []
    /// The last one, as long as its memory is not lent again.
    var leaving: Item?
    var spare: [Int: [Place]] = [:]
    var stream: qlora_cuda_handle?
    /// Recorded and waited for at once, so one is enough.
    var turn: qlora_cuda_handle?
    var bytes = 0
    var peakBytes = 0
  }

  private let pool: DevicePool
  private var device: CUDADevice { pool.device }
  private let state = Mutex(State())

  init(_ pool: DevicePool) { self.pool = pool }

  deinit {
    state.withLock { state in
      if let stream = state.stream {
        device.attempt("cuStreamSynchronize") { $0.stream_synchronize(stream) }
        device.attempt("cuStreamDestroy") { $0.stream_destroy(stream) }
      }
      if let turn = state.turn { device.attempt("cuEventDestroy") { $0.event_destroy(turn) } }
      for place in state.spare.values.joined() {
        device.attempt("cuEventDestroy") { $0.event_destroy(place.event) }
        device.attempt("cuMemFreeHost") { $0.free_pinned(place.pinned) }
      }
    }
  }

  /// Of values that wait, at most since `restart()`.
  var peakBytes: Int { state.withLock { $0.peakBytes } }

  func restart() { state.withLock { $0.peakBytes = $0.bytes } }

  /// Takes a value in and its memory over; nil where the host has no memory for it.
  func leave(_ block: DeviceBlock) -> Item? {
    state.withLock { state in
      finishLeaving(&state)
      var place: Place?
      if !device.isHollow {
        guard hasStream(&state), let found = take(block.byteCount, &state) else { return nil }
        place = found
      }
      let item = Item(self, block, place)
      copy(item, state, isIn: false)
      state.items.append(item)
      state.leaving = item
      state.bytes += item.byteCount
      state.peakBytes = max(state.peakBytes, state.bytes)
      return item
    }
  }

  // MARK: Back again

  private func bring(_ item: Item) -> DeviceBlock {
    state.withLock { state in
      let block: DeviceBlock
      if let kept = item.block {
        // It has not gone yet, or it is back already.
        if state.leaving === item { state.leaving = nil } else { wait(for: item) }
        block = kept
      } else {
        block = fetch(item, state)
        wait(for: item)
      }
      forget(item, &state)
      readAhead(&state)
      return block
    }
  }

  private func drop(_ item: Item) {
    state.withLock { state in
      if state.leaving === item {
        finishLeaving(&state)
      } else if let block = item.block {
        wait(for: item)
        pool.recycle(block)
      }
      forget(item, &state)
    }
  }

  /// The one that will be asked for next: backward goes from the last to the first.
  private func readAhead(_ state: inout State) {
    finishLeaving(&state)
    guard let next = state.items.last, next.block == nil else { return }
    next.block = fetch(next, state)
  }

  private func fetch(_ item: Item, _ state: State) -> DeviceBlock {
    let block = pool.borrow(item.byteCount)
    item.block = block
    copy(item, state, isIn: true)
    return block
  }

  private func forget(_ item: Item, _ state: inout State) {
    item.block = nil
    state.items.removeAll { $0 === item }
    state.bytes -= item.byteCount
    if let pinned = item.pinned, let event = item.event {
      state.spare[item.byteCount, default: []].append(Place(pinned: pinned, event: event))
    }
  }

  /// Lends the memory of the value that left last again, as soon as its copy is done.
  private func finishLeaving(_ state: inout State) {
    guard let item = state.leaving, let block = item.block else { return }
    wait(for: item)
    pool.recycle(block)
    item.block = nil
    state.leaving = nil
  }

  // MARK: Streams

  /// Enqueues a copy behind all that the device has to do by now.
  private func copy(_ item: Item, _ state: State, isIn: Bool) {
    guard let stream = state.stream, let turn = state.turn, let pinned = item.pinned,
      let event = item.event, let block = item.block, block.byteCount > 0
    else { return }
    device.attempt("cuEventRecord") { $0.event_record(turn, device.stream) }
    device.attempt("cuStreamWaitEvent") { $0.stream_wait(stream, turn, 0) }
    device.attempt(isIn ? "cuMemcpyHtoDAsync" : "cuMemcpyDtoHAsync", isTimed: false) {
      isIn
        ? $0.copy_to_device(block.address, pinned, item.byteCount, stream)
        : $0.copy_to_host(pinned, block.address, item.byteCount, stream)
    }
    device.attempt("cuEventRecord") { $0.event_record(event, stream) }
  }

  /// What the device computes from now on comes after the value's copy.
  private func wait(for item: Item) {
    guard let event = item.event else { return }
    device.attempt("cuStreamWaitEvent") { $0.stream_wait(device.stream, event, 0) }
  }

  private func hasStream(_ state: inout State) -> Bool {
    if state.stream == nil {
      device.attempt("cuStreamCreate") { $0.stream_create(&state.stream, CUDADevice.nonBlocking) }
      device.attempt("cuEventCreate") { $0.event_create(&state.turn, CUDADevice.untimed) }
    }
    return state.stream != nil && state.turn != nil
  }

  /// nil where the host has no memory left; the value then stays on the device.
  private func take(_ byteCount: Int, _ state: inout State) -> Place? {
    if let place = state.spare[byteCount]?.popLast() { return place }
    var pinned: UnsafeMutableRawPointer?
    var event: qlora_cuda_handle?
    device.attempt("cuMemHostAlloc") {
      let status = $0.allocate_pinned(&pinned, byteCount, 0)
      return status == DeviceFailure.outOfMemory ? 0 : status
    }
    guard let pinned else { return nil }
    device.attempt("cuEventCreate") { $0.event_create(&event, CUDADevice.untimed) }
    return event.map { Place(pinned: pinned, event: $0) }
  }
}

extension CUDABackend {
  package func setAside(_ tensor: Tensor) {
    guard let mirror = tensor.storage.mirror as? StorageMirror,
      tensor.byteCount == tensor.storage.byteCount
    else { return }
    mirror.leave(to: shelf)
  }

  /// Bytes that waited in the host's memory at most since `restartPool()`.
  package var asideBytes: Int { shelf.peakBytes }
}
