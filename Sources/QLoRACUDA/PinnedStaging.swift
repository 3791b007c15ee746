// Large copies to the device by way of pinned host memory, which the device reads by itself: one
// half is filled while the other is under way.
import CQLoRACUDA
import Synchronization

// SAFETY: a half is written only after the event that its last copy recorded; the lock lets one
// thread at a time in.
final class PinnedStaging: @unchecked Sendable {
  private struct Half {
    let memory: UnsafeMutableRawPointer
    let event: qlora_cuda_handle
  }

  /// Of one half: long enough that the cost of a copy's start is nothing.
  private static let halfBytes = 8 << 20
  /// Shorter copies go straight: the driver takes them into memory of its own at once.
  private static let leastBytes = 1 << 20

  private let device: CUDADevice
  private let turn = Mutex(0)
  private var halves: [Half] = []

  init(_ device: CUDADevice) { self.device = device }

  deinit {
    for half in halves {
      device.attempt("cuEventSynchronize") { $0.event_synchronize(half.event) }
      device.attempt("cuEventDestroy") { $0.event_destroy(half.event) }
      device.attempt("cuMemFreeHost") { $0.free_pinned(half.memory) }
    }
  }

  /// Enqueues the copy; `host` may change as soon as this returns.
  func copy(from host: UnsafeRawPointer, to address: DeviceAddress, byteCount: Int) {
    turn.withLock { turn in
      guard byteCount >= Self.leastBytes, hasHalves() else {
        return device.copy(from: host, to: address, byteCount: byteCount)
      }
      for start in stride(from: 0, to: byteCount, by: Self.halfBytes) {
        let (count, half) = (min(Self.halfBytes, byteCount - start), halves[turn])
        device.attempt("cuEventSynchronize") { $0.event_synchronize(half.event) }
        half.memory.copyMemory(from: host + start, byteCount: count)
        device.copy(from: half.memory, to: address + DeviceAddress(start), byteCount: count)
        device.attempt("cuEventRecord") { $0.event_record(half.event, device.stream) }
        turn = 1 - turn
      }
    }
  }

  /// Makes the halves when they are first wanted. Without pinned memory copies go straight.
  private func hasHalves() -> Bool {
    while halves.count < 2 {
      var memory: UnsafeMutableRawPointer?
      var event: qlora_cuda_handle?
      device.attempt("cuMemHostAlloc") {
        let status = $0.allocate_pinned(&memory, Self.halfBytes, 0)
        return status == DeviceFailure.outOfMemory ? 0 : status
      }
      guard let memory else { return false }
      device.attempt("cuEventCreate") { $0.event_create(&event, CUDADevice.untimed) }
      guard let event else { return false }
      halves.append(Half(memory: memory, event: event))
    }
    return true
  }
}
