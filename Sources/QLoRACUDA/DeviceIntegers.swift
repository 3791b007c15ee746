// Small arrays of integers on the device, such as positions or the addresses of a list of tensors:
// every layer or step asks for the same ones, so the last few are kept.
import QLoRATensor
import Synchronization

// SAFETY: an array's bytes are copied within the closure that lends them.
final class DeviceIntegers<Integer: FixedWidthInteger & BitwiseCopyable & Sendable>: Sendable {
  private struct Kept: Sendable {
    let values: [Integer]
    let tensor: Tensor
  }

  /// Enough for tokens, positions, rows and targets of two micro-batches, who sees whom in three
  /// kinds of attention and the samples of rows, or for an optimizer's lists.
  private let capacity = 24

  private let pool: DevicePool
  private let dtype: DType
  private let kept = Mutex<[Kept]>([])

  init(_ pool: DevicePool, _ dtype: DType) {
    precondition(dtype.byteSize == MemoryLayout<Integer>.stride)
    self.pool = pool
    self.dtype = dtype
  }

  /// The array's copy on the device, `[count]`, whose memory lives as long as the result.
  func tensor(_ values: [Integer]) -> Tensor {
    // What is kept from before is a constant, and a recorded step has none of these.
    pool.device.stopRecording()
    return kept.withLock { kept in
      if let index = kept.firstIndex(where: { $0.values == values }) {
        let found = kept.remove(at: index)
        kept.append(found)
        return found.tensor
      }
      let byteCount = values.count * dtype.byteSize
      let mirror = StorageMirror(byteCount, pool)
      values.withUnsafeBytes { bytes in
        guard let start = bytes.baseAddress else { return }
        pool.device.copy(
          from: start, to: mirror.deviceAddress(isWriting: true), byteCount: byteCount)
      }
      let tensor = Tensor(
        shape: [values.count], dtype: dtype,
        storage: Storage(byteCount: byteCount, mirror: mirror))
      kept.append(Kept(values: values, tensor: tensor))
      if kept.count > capacity { kept.removeFirst() }
      return tensor
    }
  }
}
