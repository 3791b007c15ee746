// Owned, aligned memory, and nothing of what it means: tensors say that. It is host memory, or a
// device's with the host's as a mirror. Every other file reaches memory through it.

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

/// The memory of a device behind a storage. Of its bytes and the host's, those that were written
/// last are current; the others are brought up to date when somebody asks for them.
package protocol DeviceMirror: AnyObject, Sendable {
  /// Host memory with the current bytes. Where `isWriting`, the device's are stale from now on.
  func hostAddress(isWriting: Bool) -> UnsafeMutableRawPointer
  /// Makes bytes zero.
  func zero(_ range: Range<Int>)
}

/// One allocation, in the host's memory aligned to a cache line and padded by one, shared by the
/// tensors that view it. The memory goes back to its pool, or to the system, with the last
/// reference.
// SAFETY: the bytes are plain data; writers and readers are ordered by the backend's queue, and a
// tensor under construction is visible to one writer only. A mirror is attached by the thread that
// computes, before it hands the tensor on.
package final class Storage: @unchecked Sendable {
  package static let alignment = 64

  package let byteCount: Int
  /// nil where the storage was born on a device.
  private let hostMemory: UnsafeMutableRawPointer?
  private let owner: (any StorageOwner)?
  /// nil as long as no device knows the storage.
  package private(set) var mirror: (any DeviceMirror)?

  /// Fresh uninitialised memory.
  package init(byteCount: Int) {
    self.byteCount = byteCount
    hostMemory = .allocate(byteCount: byteCount + Self.alignment, alignment: Self.alignment)
    owner = nil
  }

  /// Memory that `owner` lends and gets back.
  package init(
    adopting address: UnsafeMutableRawPointer, byteCount: Int, owner: any StorageOwner
  ) {
    self.byteCount = byteCount
    hostMemory = address
    self.owner = owner
  }

  /// Memory of a device.
  package init(byteCount: Int, mirror: any DeviceMirror) {
    self.byteCount = byteCount
    hostMemory = nil
    owner = nil
    self.mirror = mirror
  }

  deinit {
    guard let hostMemory else { return }
    guard let owner else { return hostMemory.deallocate() }
    // Memory that goes on without this storage gets what a device has written last.
    if let mirror { _ = mirror.hostAddress(isWriting: false) }
    owner.recycle(hostMemory, byteCount)
  }

  /// Host memory to write to.
  package var baseAddress: UnsafeMutableRawPointer {
    if let mirror { return mirror.hostAddress(isWriting: true) }
    return ownMemory
  }

  /// Host memory that is only read.
  var readAddress: UnsafeMutableRawPointer {
    if let mirror { return mirror.hostAddress(isWriting: false) }
    return ownMemory
  }

  private var ownMemory: UnsafeMutableRawPointer {
    guard let hostMemory else { preconditionFailure("a storage has one memory at least") }
    return hostMemory
  }

  /// Gives a storage of the host its place on a device.
  /// - Parameter make: from the host's memory.
  package func attach(_ make: (UnsafeMutableRawPointer) -> any DeviceMirror) {
    if mirror == nil { mirror = make(ownMemory) }
  }

  func zero(_ range: Range<Int>) {
    if let mirror { return mirror.zero(range) }
    (ownMemory + range.lowerBound).initializeMemory(
      as: UInt8.self, repeating: 0, count: range.count)
  }
}
