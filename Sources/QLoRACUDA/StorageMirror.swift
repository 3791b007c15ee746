// The two memories of one storage: a device's, and the host's where somebody wants to see it there.
import QLoRATensor
import Synchronization

// SAFETY: the state is behind a lock; host memory is the storage's own, which outlives this object,
// or was made here and goes with it.
final class StorageMirror: DevicePlace, @unchecked Sendable {
  // SAFETY: only the lock's holder has it.
  private struct State: @unchecked Sendable {
    var block: DeviceBlock?
    /// Where the device's bytes wait in the place of `block`.
    var aside: HostShelf.Item?
    var host: UnsafeMutableRawPointer?
    var isHostCurrent: Bool
    var isDeviceCurrent: Bool
  }

  private let byteCount: Int
  private let pool: DevicePool
  private let ownsHost: Bool
  private let state: Mutex<State>

  /// Of a storage that is born on the device.
  init(_ byteCount: Int, _ pool: DevicePool) {
    self.byteCount = byteCount
    self.pool = pool
    ownsHost = true
    state = Mutex(
      State(
        block: pool.borrow(byteCount), host: nil, isHostCurrent: false, isDeviceCurrent: true))
  }

  /// Of a storage of the host.
  init(host: UnsafeMutableRawPointer, _ byteCount: Int, _ pool: DevicePool) {
    self.byteCount = byteCount
    self.pool = pool
    ownsHost = false
    state = Mutex(State(block: nil, host: host, isHostCurrent: true, isDeviceCurrent: false))
  }

  deinit {
    state.withLock { state in
      state.aside?.drop()
      if let block = state.block { pool.recycle(block) }
      if ownsHost { state.host?.deallocate() }
    }
  }

  func isOn(_ device: CUDADevice) -> Bool { pool.device === device }

  /// Lets the device's bytes wait in the host's memory until somebody asks for them.
  func leave(to shelf: HostShelf) {
    state.withLock { state in
      guard let block = state.block, state.isDeviceCurrent, let item = shelf.leave(block) else {
        return
      }
      (state.block, state.aside) = (nil, item)
    }
  }

  private func bringBack(_ state: inout State) {
    guard let item = state.aside else { return }
    (state.block, state.aside) = (item.bring(), nil)
  }

  func hostAddress(isWriting: Bool) -> UnsafeMutableRawPointer {
    state.withLock { state in
      bringBack(&state)
      let alignment = Storage.alignment
      let host =
        state.host ?? .allocate(byteCount: byteCount + alignment, alignment: alignment)
      state.host = host
      if !state.isHostCurrent, let block = state.block {
        state.isHostCurrent = pool.device.copy(
          from: block.address, to: host, byteCount: byteCount)
      }
      if isWriting { (state.isHostCurrent, state.isDeviceCurrent) = (true, false) }
      return host
    }
  }

  /// The device's memory with the current bytes. Where `isWriting`, the host's are stale from now
  /// on.
  func deviceAddress(isWriting: Bool) -> DeviceAddress {
    state.withLock { state in
      bringBack(&state)
      let block = state.block ?? pool.borrow(byteCount)
      state.block = block
      if !state.isDeviceCurrent, let host = state.host {
        pool.device.copy(from: host, to: block.address, byteCount: byteCount)
      }
      state.isDeviceCurrent = true
      if isWriting { state.isHostCurrent = false }
      return block.address
    }
  }

  func zero(_ range: Range<Int>) {
    let address = deviceAddress(isWriting: true)
    pool.device.zero(address + DeviceAddress(range.lowerBound), byteCount: range.count)
  }
}
