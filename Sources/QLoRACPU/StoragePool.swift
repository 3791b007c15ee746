// Lends memory out of one growing stretch, so that a training step takes nothing from the system
// after the first and blocks of all sizes use the same bytes one after the other. Memory is kept
// for the life of the pool; it is never given back to the system before.
import QLoRATensor
import Synchronization

/// What a pool has lent and taken, in bytes.
package struct PoolStatistics: Sendable, Equatable {
  /// Lent now.
  package var liveBytes = 0
  /// The most that was lent at once since the last `restart()`.
  package var peakBytes = 0
  /// The part of the stretch that was lent since then: what the pool costs.
  package var extentBytes = 0
  /// Calls to the system for more memory.
  package var growthCount = 0
}

// SAFETY: a block is in the free lists or owned by one `Storage`, never both; the mutex orders the
// change of owner, and a lent block's storage holds the pool, which holds the range.
package final class StoragePool: StorageOwner, @unchecked Sendable {
  private struct Region {
    let range: AddressRange
    var blocks: BestFit
  }

  private struct State {
    var regions: [Region] = []
    var statistics = PoolStatistics()
  }

  /// Addresses to reserve: more than any machine's memory that this is for, and 1/2000 of what a
  /// process has.
  private static let reservedBytes = 64 << 30
  /// Where the system grants no such range (`ulimit -v`): several smaller ones.
  private static let modestBytes = 256 << 20
  /// Memory taken from the system at once.
  private static let growthBytes = 16 << 20

  private let state = Mutex(State())

  package init() {}

  package var statistics: PoolStatistics { state.withLock { $0.statistics } }

  /// Lets peak and extent begin again at what is lent now, as if nothing had been lent before.
  package func restart() {
    state.withLock { state in
      for index in state.regions.indices { state.regions[index].blocks.trim() }
      state.statistics.peakBytes = state.statistics.liveBytes
      state.statistics.extentBytes = Self.extent(state)
    }
  }

  /// The bytes that a request takes: whole cache lines, with one more that vector loads may touch.
  static func blockBytes(_ byteCount: Int) -> Int {
    (byteCount + 2 * Storage.alignment - 1) / Storage.alignment * Storage.alignment
  }

  /// Uninitialised memory of at least `byteCount` bytes that returns here by itself.
  package func borrow(_ byteCount: Int) -> Storage {
    let size = Self.blockBytes(byteCount)
    let address = state.withLock { state in
      let address = Self.place(size, in: &state)
      state.statistics.liveBytes += size
      state.statistics.peakBytes = max(
        state.statistics.peakBytes, state.statistics.liveBytes)
      state.statistics.extentBytes = Self.extent(state)
      return UInt(bitPattern: address)
    }
    guard let pointer = UnsafeMutableRawPointer(bitPattern: address) else {
      preconditionFailure("the system has no \(size) bytes of memory left")
    }
    return Storage(adopting: pointer, byteCount: size, owner: self)
  }

  package func recycle(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {
    let place = UInt(bitPattern: address)
    state.withLock { state in
      state.statistics.liveBytes -= byteCount
      for index in state.regions.indices {
        let range = state.regions[index].range
        let start = UInt(bitPattern: range.start)
        if place >= start, place - start < UInt(range.byteCount) {
          state.regions[index].blocks.free(Int(place - start), byteCount)
          return
        }
      }
    }
  }

  private static func extent(_ state: State) -> Int {
    state.regions.reduce(0) { $0 + $1.blocks.extent }
  }

  /// nil where the system refuses.
  private static func place(_ size: Int, in state: inout State) -> UnsafeMutableRawPointer? {
    for index in state.regions.indices {
      if let start = state.regions[index].blocks.place(size) {
        return commit(start, size, index, in: &state)
      }
    }
    let range =
      AddressRange(byteCount: max(size, reservedBytes))
      ?? AddressRange(byteCount: max(size, modestBytes))
    guard let range else { return nil }
    state.regions.append(Region(range: range, blocks: BestFit(capacity: range.byteCount)))
    let index = state.regions.count - 1
    return state.regions[index].blocks.place(size).flatMap { commit($0, size, index, in: &state) }
  }

  private static func commit(
    _ start: Int, _ size: Int, _ index: Int, in state: inout State
  ) -> UnsafeMutableRawPointer? {
    let range = state.regions[index].range
    let end = start + size
    if end > range.committed {
      let rounded = (end + growthBytes - 1) / growthBytes * growthBytes
      guard range.commit(min(range.byteCount, rounded)) else { return nil }
      state.statistics.growthCount += 1
    }
    return range.start + start
  }
}
