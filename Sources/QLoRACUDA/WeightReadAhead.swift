// Weights that lie in pinned memory, copied to the device while the weight before is used: two
// buffers take turns. What follows what is learnt from the last time, so that forward, backward and
// blocks that run again are all foreseen from the second step on.
import CQLoRACUDA
import QLoRATensor
import Synchronization

/// Where a part of a weight comes to lie in a buffer.
struct WeightPlace: Sendable {
  let weight: WeightReadAhead.Weight
  let offset: Int
}

// SAFETY: streams and events belong to the driver; what changes is behind the lock. A buffer is
// written after all that was enqueued before, and read after its copy: events order both.
final class WeightReadAhead: @unchecked Sendable {
  // SAFETY: constant; pinned memory keeps its weight alive and waits for copies before it goes.
  /// The parts of one weight that lie outside.
  final class Weight: @unchecked Sendable {
    fileprivate struct Part {
      let memory: UnsafeMutableRawPointer
      let offset: Int
      let byteCount: Int
    }

    let reader: WeightReadAhead
    fileprivate let parts: [Part]
    fileprivate let byteCount: Int

    fileprivate init(_ parts: [Part], byteCount: Int, _ reader: WeightReadAhead) {
      self.parts = parts
      self.byteCount = byteCount
      self.reader = reader
    }
  }

  /// Two uses, one after the other.
  private struct Pair: Hashable {
    let first: ObjectIdentifier?
    let second: ObjectIdentifier
  }

  private struct Buffer {
    let block: DeviceBlock
    let event: qlora_cuda_handle
    /// Not kept alive by what was copied.
    weak var weight: Weight?
  }

  private struct Follower {
    weak var weight: Weight?
  }

  // SAFETY: only the lock's holder has it.
  private struct State: @unchecked Sendable {
    var largest = 0
    var buffers: [Buffer] = []
    /// Which buffer has what is used now.
    var current = 0
    var before: ObjectIdentifier?
    /// Uses that a copy was under way for.
    var foreseen = 0
    var followers: [Pair: Follower] = [:]
    var stream: qlora_cuda_handle?
    /// Recorded and waited for at once.
    var turn: qlora_cuda_handle?
  }

  /// A larger weight, such as a head, is read where it lies: its buffers would cost what was saved.
  static let mostBytes = 128 << 20

  private let stock: DevicePool
  private var device: CUDADevice { stock.device }
  private let state = Mutex(State())

  init(_ stock: DevicePool) { self.stock = stock }

  deinit {
    state.withLock { state in
      if let stream = state.stream {
        device.attempt("cuStreamSynchronize") { $0.stream_synchronize(stream) }
        device.attempt("cuStreamDestroy") { $0.stream_destroy(stream) }
      }
      for event in [state.turn].compactMap({ $0 }) + state.buffers.map(\.event) {
        device.attempt("cuEventDestroy") { $0.event_destroy(event) }
      }
      for buffer in state.buffers { stock.recycle(buffer.block) }
    }
  }

  /// Makes one weight of the parts that lie outside.
  func join(_ tensors: [Tensor]) {
    let outside = tensors.compactMap { $0.storage.mirror as? PinnedMemory }
    var parts: [Weight.Part] = []
    var byteCount = 0
    for memory in outside {
      let part = Weight.Part(
        memory: memory.memory, offset: byteCount, byteCount: memory.byteCount)
      parts.append(part)
      byteCount += (memory.byteCount + DevicePool.alignment - 1) / DevicePool.alignment
        * DevicePool.alignment
    }
    guard byteCount > 0, byteCount <= Self.mostBytes else { return }
    let weight = Weight(parts, byteCount: byteCount, self)
    for (memory, part) in zip(outside, parts) {
      memory.place = WeightPlace(weight: weight, offset: part.offset)
    }
    state.withLock { $0.largest = max($0.largest, byteCount) }
  }

  var foreseen: Int { state.withLock { $0.foreseen } }

  /// Waits for copies under way.
  func finish() {
    let stream = state.withLock { $0.stream }
    if let stream { device.attempt("cuStreamSynchronize") { $0.stream_synchronize(stream) } }
  }

  /// The weight's copy on the device, good until another weight is asked for; nil where there is no
  /// room for one.
  func address(of weight: Weight) -> DeviceAddress? {
    state.withLock { state in
      guard hasBuffers(&state), weight.byteCount <= state.buffers[0].block.byteCount else {
        return nil
      }
      let used = state.buffers[state.current].weight
      if used !== weight {
        learn(weight, after: used, &state)
        let other = 1 - state.current
        if state.buffers[other].weight === weight {
          state.foreseen += 1
        } else {
          copy(weight, to: other, &state)
        }
        let event = state.buffers[other].event
        device.attempt("cuStreamWaitEvent") { $0.stream_wait(device.stream, event, 0) }
        state.current = other
        readAhead(weight, after: used, &state)
      }
      return state.buffers[state.current].block.address
    }
  }

  private func learn(_ weight: Weight, after used: Weight?, _ state: inout State) {
    guard let used else { return }
    let pair = Pair(first: state.before, second: ObjectIdentifier(used))
    state.followers[pair] = Follower(weight: weight)
    state.before = ObjectIdentifier(used)
  }

  private func readAhead(_ weight: Weight, after used: Weight?, _ state: inout State) {
    let pair = Pair(first: used.map { ObjectIdentifier($0) }, second: ObjectIdentifier(weight))
    let next = state.followers[pair]?.weight
    guard let next, next !== weight else { return }
    copy(next, to: 1 - state.current, &state)
  }

  /// Enqueues a copy behind all that the device has to do by now, which may use the buffer.
  private func copy(_ weight: Weight, to index: Int, _ state: inout State) {
    guard let stream = state.stream, let turn = state.turn else { return }
    let buffer = state.buffers[index]
    device.attempt("cuEventRecord") { $0.event_record(turn, device.stream) }
    device.attempt("cuStreamWaitEvent") { $0.stream_wait(stream, turn, 0) }
    for part in weight.parts {
      let address = buffer.block.address + DeviceAddress(part.offset)
      device.attempt("cuMemcpyHtoDAsync", isTimed: false) {
        $0.copy_to_device(address, part.memory, part.byteCount, stream)
      }
    }
    device.attempt("cuEventRecord") { $0.event_record(buffer.event, stream) }
    state.buffers[index].weight = weight
  }

  /// Makes the buffers when a weight is first asked for: by then all weights are there.
  private func hasBuffers(_ state: inout State) -> Bool {
    guard state.buffers.isEmpty else { return true }
    device.attempt("cuStreamCreate") { $0.stream_create(&state.stream, CUDADevice.nonBlocking) }
    device.attempt("cuEventCreate") { $0.event_create(&state.turn, CUDADevice.untimed) }
    for _ in 0..<2 {
      var event: qlora_cuda_handle?
      device.attempt("cuEventCreate") { $0.event_create(&event, CUDADevice.untimed) }
      guard let event else { return false }
      state.buffers.append(Buffer(block: stock.borrow(state.largest), event: event))
    }
    return device.failure == nil
  }
}

extension CUDABackend {
  /// How often a weight outside of the device's memory was read before it was asked for.
  package var foreseenWeights: Int { readAhead.foreseen }

  /// What weights outside of the device's memory take of it, where each has so many bytes.
  package static func readAheadBytes(_ weights: [Int]) -> Int {
    2 * (weights.filter { $0 <= WeightReadAhead.mostBytes }.max() ?? 0)
  }
}
