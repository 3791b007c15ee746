// Owned, aligned host memory, and nothing of what it means: tensors say that. Every other file
// reaches memory through it.

/// One allocation of host memory, aligned to a cache line and padded by one, shared by the tensors
/// that view it. The memory goes back to its pool, or to the system, with the last reference.
// SAFETY: the bytes are plain data; writers and readers are ordered by the backend's queue, and a
// tensor under construction is visible to one writer only.
package final class Storage: @unchecked Sendable {
  package static let alignment = 64

  package let byteCount: Int
  package let baseAddress: UnsafeMutableRawPointer
  private let recycle: (@Sendable (UnsafeMutableRawPointer, Int) -> Void)?

  /// Fresh uninitialised memory.
  package init(byteCount: Int) {
    self.byteCount = byteCount
    baseAddress = .allocate(byteCount: byteCount + Self.alignment, alignment: Self.alignment)
    recycle = nil
  }

  /// Memory that a pool lends; `recycle` gets it back.
  package init(
    adopting address: UnsafeMutableRawPointer, byteCount: Int,
    recycle: @escaping @Sendable (UnsafeMutableRawPointer, Int) -> Void
  ) {
    self.byteCount = byteCount
    baseAddress = address
    self.recycle = recycle
  }

  deinit {
    if let recycle { recycle(baseAddress, byteCount) } else { baseAddress.deallocate() }
  }
}
