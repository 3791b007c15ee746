// The weights of a cached base as tensors in memory that others own: a mapped file, whose pages all
// processes with the same base share, or the buffer that a block was read into.

import QLoRASystem
import QLoRATensor

extension IndexedWeight {
  /// The parts of the weight.
  /// - Parameters:
  ///   - storage: holds the file's bytes from `start` on.
  ///   - start: at most the first part's offset.
  func archived(in storage: Storage, from start: Int = 0) -> ArchivedWeight {
    ArchivedWeight(
      outFeatures: outFeatures, inFeatures: inFeatures, storage: self.storage,
      parts: parts.map {
        Tensor(shape: [$0.count], dtype: $0.dtype, storage: storage, byteOffset: $0.offset - start)
      })
  }
}

// SAFETY: the index bounds every part by the size of the memory, which lives as long as any tensor
// of it; prepared weights are never written into, which a read-only mapping would not allow.
extension MappedFile {
  /// All bytes, kept mapped by whoever holds the storage.
  func storage() -> Storage {
    UnsafeMutableRawBufferPointer(mutating: bytes).storage(keeping: self)
  }
}

extension UnsafeMutableRawBufferPointer {
  /// These bytes, whose owner is kept by whoever holds the storage.
  func storage(keeping owner: any Sendable) -> Storage {
    guard let start = baseAddress else { return Storage(byteCount: 0) }
    return Storage(adopting: start, byteCount: count, owner: StorageLender(owner))
  }
}
