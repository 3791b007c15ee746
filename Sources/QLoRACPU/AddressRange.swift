// Address space from the system that becomes memory as it is needed.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A reserved range of addresses, usable up to `committed`; it costs nothing before it is touched.
// SAFETY: the range belongs to this object from `init` to `deinit`, and its users hold the object.
final class AddressRange: @unchecked Sendable {
  let start: UnsafeMutableRawPointer
  let byteCount: Int
  /// Bytes from the start that may be read and written. Guarded by the owner's lock.
  private(set) var committed = 0

  /// nil where the system has no such range left.
  init?(byteCount: Int) {
    let flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE
    let address = mmap(nil, byteCount, PROT_NONE, flags, -1, 0)
    guard let address, address != MAP_FAILED else { return nil }
    start = address
    self.byteCount = byteCount
  }

  deinit { munmap(start, byteCount) }

  /// Makes the first `count` bytes usable.
  /// - Returns: false where the system refuses so much memory.
  func commit(_ count: Int) -> Bool {
    guard count > committed else { return true }
    guard mprotect(start, count, PROT_READ | PROT_WRITE) == 0 else { return false }
    committed = count
    return true
  }
}
