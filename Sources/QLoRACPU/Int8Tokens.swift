// Activations in 8 bits with a scale per token, beside the columns that 8 bits would ruin.
import CQLoRAKernels
import QLoRATensor

/// What `x [tokens, columns]` is in LLM.int8: small values in codes, columns with outliers whole.
/// Source: Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339, section 3.2.
struct Int8Tokens {
  let count: Int
  /// Codes per token, a multiple of 4.
  let stride: Int
  /// `[tokens][stride]` uint8, columns with outliers at zero.
  let codes: Storage
  /// `[tokens]` float32: the largest magnitude below the threshold.
  let scales: Storage
  /// Columns in which a token reaches the threshold, ascending.
  let outliers: [Int]
  /// `[tokens][outliers]` float32.
  let outlierValues: Storage
}

// SAFETY: storages hold `count` tokens; items write tokens, and workers flags, of their own.
extension Int8Tokens {
  /// - Parameter x: `[tokens, columns]` float32.
  init(_ x: Tensor, threshold: Float, _ backend: CPUBackend) {
    let (tokens, columns) = (x.shape[0], x.shape[1])
    let kernels = backend.int8
    let values = x.pointer(Float.self)
    count = tokens
    stride = (columns + 3) / 4 * 4
    codes = backend.storagePool.borrow(tokens * stride)
    scales = backend.storagePool.borrow(tokens * 4)
    let largest = scales.baseAddress.assumingMemoryBound(to: Float.self)
    let flags = Self.flags(columns, backend)
    let flagBytes = flags.baseAddress.assumingMemoryBound(to: UInt8.self)
    backend.threadPool.run(tokens) { token, worker in
      largest[token] = kernels.absmax(
        columns, values + token * columns, threshold, flagBytes + worker * columns)
    }
    for worker in 1..<max(1, backend.threadPool.threads) {
      for column in 0..<columns { flagBytes[column] |= flagBytes[worker * columns + column] }
    }
    let outliers = (0..<columns).filter { flagBytes[$0] != 0 }
    self.outliers = outliers
    outlierValues = backend.storagePool.borrow(tokens * outliers.count * 4)
    let kept = outlierValues.baseAddress.assumingMemoryBound(to: Float.self)
    let bytes = codes.baseAddress.assumingMemoryBound(to: UInt8.self)
    let stride = stride
    backend.threadPool.run(tokens) { token in
      let row = values + token * columns
      let place = bytes + token * stride
      let scale = largest[token]
      kernels.encode(columns, row, Int8Weight.factor(scale), flagBytes, place)
      for column in columns..<stride { place[column] = UInt8(QLORA_INT8_BIAS) }
      for (index, column) in outliers.enumerated() {
        kept[token * outliers.count + index] = row[column]
      }
    }
    withExtendedLifetime(flags) {}
  }

  /// A byte per column and worker, all 0.
  private static func flags(_ columns: Int, _ backend: CPUBackend) -> Storage {
    let bytes = columns * backend.threadPool.threads
    let storage = backend.storagePool.borrow(bytes)
    storage.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    return storage
  }
}
