// Owned, aligned host memory, and nothing of what it means: tensors say that. Every other file
// reaches memory through it.

/// Who lends memory to storages.
package protocol StorageOwner: AnyObject, Sendable {
  /// Takes back what it lent.
  func recycle(_ address: UnsafeMutableRawPointer, _ byteCount: Int)
}

/// Lends memory that something else owns, which it keeps alive.
package final class StorageLender: StorageOwner {
  private let kept: any Sendable

  package init(_ kept: any Sendable) { self.kept = kept }

  package func recycle(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {}
}

/// One allocation of host memory, aligned to a cache line and padded by one, shared by the tensors
/// that view it. The memory goes back to its pool, or to the system, with the last reference.
// SAFETY: the bytes are plain data; writers and readers are ordered by the backend's queue, and a
// tensor under construction is visible to one writer only.
package final class Storage: @unchecked Sendable {
  package static let alignment = 64

  package let byteCount: Int
  package let baseAddress: UnsafeMutableRawPointer
  private let owner: (any StorageOwner)?

  /// Fresh uninitialised memory.
  package init(byteCount: Int) {
    self.byteCount = byteCount
    baseAddress = .allocate(byteCount: byteCount + Self.alignment, alignment: Self.alignment)
    owner = nil
  }

  /// Memory that `owner` lends and gets back.
  package init(
    adopting address: UnsafeMutableRawPointer, byteCount: Int, owner: any StorageOwner
  ) {
    self.byteCount = byteCount
    baseAddress = address
    self.owner = owner
  }

  deinit {
    if let owner { owner.recycle(baseAddress, byteCount) } else { baseAddress.deallocate() }
  }
}
