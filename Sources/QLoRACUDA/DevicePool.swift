// Lends device memory out of stretches that are never given back before the end, so that a step
// after the first asks the driver for none. Work is enqueued in order on one stream, so memory may
// be lent again as soon as its last user has been enqueued.
import QLoRATensor
import Synchronization

/// What a device's pool has lent and taken, in bytes.
package struct DevicePoolStatistics: Sendable, Equatable {
  /// Lent now.
  package var liveBytes = 0
  /// The most that was lent at once since the last `restart()`.
  package var peakBytes = 0
  /// The part of the stretches that was lent since then: what the pool costs.
  package var extentBytes = 0
  /// Taken from the driver.
  package var takenBytes = 0
  /// Calls of the driver for more.
  package var growthCount = 0
}

/// A block on loan.
struct DeviceBlock: Sendable {
  let address: DeviceAddress
  let byteCount: Int
}

final class DevicePool: Sendable {
  private struct Region {
    let start: DeviceAddress
    var blocks: BestFit
  }

  private struct State {
    var regions: [Region] = []
    var statistics = DevicePoolStatistics()
  }

  /// Vector loads and cuBLASLt's fastest kernels want such addresses.
  static let alignment = 256

  let device: CUDADevice
  /// The first stretch.
  private let firstBytes: Int
  /// Taken from the driver at once afterwards, or what is asked for where that is more.
  private let growthBytes: Int
  /// Whether it does without where memory is short: no failure, but the end of a recording.
  private let isOptional: Bool
  private let state = Mutex(State())

  init(
    _ device: CUDADevice, firstBytes: Int? = nil, growthBytes: Int, isOptional: Bool = false
  ) {
    self.device = device
    self.firstBytes = firstBytes ?? growthBytes
    self.isOptional = isOptional
    self.growthBytes = growthBytes
  }

  deinit {
    state.withLock { state in
      for region in state.regions {
        device.giveBack("cuMemFree") { $0.free(region.start) }
      }
    }
  }

  var statistics: DevicePoolStatistics { state.withLock { $0.statistics } }

  /// Lets peak and extent begin again at what is lent now.
  func restart() {
    state.withLock { state in
      for index in state.regions.indices { state.regions[index].blocks.trim() }
      state.statistics.peakBytes = state.statistics.liveBytes
      state.statistics.extentBytes = Self.extent(state)
    }
  }

  private static func extent(_ state: State) -> Int {
    state.regions.reduce(0) { $0 + $1.blocks.extent }
  }

  /// Uninitialised memory; address 0 where the device has failed or has none left.
  func borrow(_ byteCount: Int) -> DeviceBlock {
    let size = max(1, (byteCount + Self.alignment - 1) / Self.alignment) * Self.alignment
    return state.withLock { state in
      guard let address = place(size, in: &state) else {
        return DeviceBlock(address: 0, byteCount: 0)
      }
      state.statistics.liveBytes += size
      state.statistics.peakBytes = max(state.statistics.peakBytes, state.statistics.liveBytes)
      state.statistics.extentBytes = Self.extent(state)
      return DeviceBlock(address: address, byteCount: size)
    }
  }

  func recycle(_ block: DeviceBlock) {
    if block.byteCount == 0 { return }
    state.withLock { state in
      state.statistics.liveBytes -= block.byteCount
      for index in state.regions.indices {
        let region = state.regions[index]
        guard block.address >= region.start else { continue }
        let offset = Int(block.address - region.start)
        guard offset < region.blocks.capacity else { continue }
        state.regions[index].blocks.free(offset, block.byteCount)
        return
      }
    }
  }

  private func place(_ size: Int, in state: inout State) -> DeviceAddress? {
    for index in state.regions.indices {
      if let offset = state.regions[index].blocks.place(size) {
        return state.regions[index].start + DeviceAddress(offset)
      }
    }
    let stretch = state.regions.isEmpty ? firstBytes : growthBytes
    // Where a whole stretch is too much, what is needed may still be there.
    for bytes in stretch > size ? [stretch, size] : [size] {
      var start: DeviceAddress = 0
      let isLast = bytes == size
      guard grow(bytes, &start, isLast: isLast) else { continue }
      var blocks = BestFit(capacity: bytes)
      guard let offset = blocks.place(size) else { return nil }
      state.regions.append(Region(start: start, blocks: blocks))
      state.statistics.takenBytes += bytes
      state.statistics.growthCount += 1
      return start + DeviceAddress(offset)
    }
    return nil
  }

  /// Only the last refusal is a failure of the device.
  private func grow(_ bytes: Int, _ start: inout DeviceAddress, isLast: Bool) -> Bool {
    var status: Int32 = 0
    var address: DeviceAddress = 0
    device.attempt("cuMemAlloc") {
      status = $0.allocate(&address, bytes)
      return status == DeviceFailure.outOfMemory ? 0 : status
    }
    start = address
    if status == DeviceFailure.outOfMemory, isLast {
      giveUp(bytes, status)
    }
    return status == 0 && address != 0
  }

  private func giveUp(_ bytes: Int, _ status: Int32) {
    if isOptional {
      _ = device.refuseRecording()
      return
    }
    let lent = statisticsText(device.freeBytes)
    device.fail("cuMemAlloc", status, detail: "\(bytes) bytes asked for, \(lent)")
  }

  private func statisticsText(_ free: Int) -> String {
    "\(free) of \(device.memoryBytes) bytes free"
  }
}
