// The weights of a cached base as tensors in mapped memory: nothing is copied, and processes that
// use the same base share its pages.

import QLoRASystem
import QLoRATensor

// SAFETY: the index bounds every part by the size of the mapping, which lives as long as any tensor
// of it; prepared weights are never written into, which the read-only mapping would not allow.
extension MappedFile {
  /// The parts of one weight.
  func weight(_ indexed: IndexedWeight, in storage: Storage) -> ArchivedWeight {
    ArchivedWeight(
      outFeatures: indexed.outFeatures, inFeatures: indexed.inFeatures, storage: indexed.storage,
      parts: indexed.parts.map {
        Tensor(shape: [$0.count], dtype: $0.dtype, storage: storage, byteOffset: $0.offset)
      })
  }

  /// All bytes, kept mapped by whoever holds the storage.
  func storage() -> Storage {
    guard let start = bytes.baseAddress else { return Storage(byteCount: 0) }
    return Storage(
      adopting: UnsafeMutableRawPointer(mutating: start), byteCount: bytes.count,
      owner: StorageLender(self))
  }
}
