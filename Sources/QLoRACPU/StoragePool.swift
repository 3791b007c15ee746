// Recycles host memory in size classes, so that a training step allocates nothing after the first.
// Memory is kept for the life of the pool; it is never given back to the system before.
import QLoRATensor
import Synchronization

// SAFETY: an address is in the free lists or owned by one `Storage`, never both; the mutex orders
// the change of owner.
package final class StoragePool: @unchecked Sendable {
  private final class Shelf: @unchecked Sendable {
    let free = Mutex<[Int: [UInt]]>([:])

    deinit {
      free.withLock { lists in
        for address in lists.values.joined() {
          UnsafeMutableRawPointer(bitPattern: address)?.deallocate()
        }
      }
    }
  }

  private let shelf = Shelf()

  package init() {}

  /// The size that a request is rounded up to: four classes per power of two, at least a page.
  static func sizeClass(_ byteCount: Int) -> Int {
    if byteCount <= 4096 { return byteCount <= 256 ? 256 : byteCount <= 1024 ? 1024 : 4096 }
    let power = 1 << (Int.bitWidth - 1 - (byteCount - 1).leadingZeroBitCount)
    let step = power / 4
    return (byteCount + step - 1) / step * step
  }

  /// Uninitialised memory of at least `byteCount` bytes that returns here by itself.
  package func borrow(_ byteCount: Int) -> Storage {
    let size = Self.sizeClass(byteCount)
    let shelf = shelf
    let reused = shelf.free.withLock { $0[size]?.popLast() }
    let address =
      reused.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
      ?? .allocate(byteCount: size + Storage.alignment, alignment: Storage.alignment)
    return Storage(adopting: address, byteCount: size) { address, size in
      shelf.free.withLock { $0[size, default: []].append(UInt(bitPattern: address)) }
    }
  }
}
