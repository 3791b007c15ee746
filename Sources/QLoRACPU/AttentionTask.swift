// What the attention operations share: which heads of which sequence one kernel call computes, and
// the scratch memory of each worker. The operations are in `CPUBackend+Attention….swift`.
import CQLoRAKernels
import QLoRATensor

/// The tensors that take part, with their layout: rows of queries, and rows of keys and values.
struct AttentionRows {
  var query: Tensor
  var key: Tensor
  var value: Tensor
  var output: Tensor
  var layout: AttentionLayout

  /// Checks all that the kernels rely on.
  init(query: Tensor, key: Tensor, value: Tensor, output: Tensor, layout: AttentionLayout) {
    precondition(layout.headSize % 8 == 0 && layout.headSize <= 256, "head size")
    precondition(layout.kvHeads > 0 && layout.heads % layout.kvHeads == 0, "heads")
    precondition(query.shape[-1] == layout.heads * layout.headSize)
    precondition(key.shape[-1] == layout.kvHeads * layout.headSize)
    precondition(value.shape == key.shape && output.shape == query.shape)
    precondition(
      [query, key, value, output].allSatisfy { $0.dtype.isActivation }, "activation types")
    precondition(layout.window >= 0 && layout.softCap >= 0, "window and cap")
    precondition(layout.isCausal || layout.window == 0, "a window without a mask")
    self.query = query
    self.key = key
    self.value = value
    self.output = output
    self.layout = layout
  }

  /// What a window does not hide takes the faster kernels.
  mutating func forgetWindow(ifLongest keys: Int) {
    if layout.window >= keys { layout.window = 0 }
  }

  var group: Int { layout.heads / layout.kvHeads }

  // SAFETY: heads and rows lie inside the tensors, whose shapes `init` compared with the layout;
  // callers keep the tensors alive while the kernel runs.
  /// The task of `heads` (which share one key/value head) over these rows.
  func task(
    heads: Range<Int>, queries: Range<Int>, keys: Range<Int>, logSumExp: Tensor?,
    scratch: UnsafeMutablePointer<Float>
  ) -> qlora_attention {
    let size = layout.headSize
    let shared = heads.lowerBound / group * size
    let queryWidth = layout.heads * size
    let keyWidth = layout.kvHeads * size
    let queryStart = queries.lowerBound * queryWidth + heads.lowerBound * size
    let keyStart = keys.lowerBound * keyWidth + shared
    let tokens = logSumExp?.shape[-1] ?? 0
    return qlora_attention(
      query_type: query.dtype.element, key_type: key.dtype.element,
      value_type: value.dtype.element, output_type: output.dtype.element,
      query: query.address(at: queryStart), key: key.address(at: keyStart),
      value: value.address(at: keyStart), query_stride: queryWidth, key_stride: keyWidth,
      value_stride: keyWidth, output_stride: queryWidth, queries: queries.count,
      keys: keys.count, first: keys.count - queries.count, group: heads.count, head_size: size,
      scale: layout.scale, window: layout.window, soft_cap: layout.softCap,
      output: output.address(at: queryStart), sees_all: layout.isCausal ? 0 : 1,
      log_sum_exp: logSumExp?.floatAddress(at: heads.lowerBound * tokens + queries.lowerBound),
      log_sum_exp_stride: tokens, scratch: scratch)
  }
}

/// Float scratch, one equal part per worker, borrowed from the backend's pool.
struct WorkerScratch {
  private let storage: Storage
  private let floats: Int

  init(_ backend: CPUBackend, floats: Int) {
    // A whole number of cache lines each, so that workers share none.
    self.floats = (floats + 15) / 16 * 16
    storage = backend.storagePool.borrow(self.floats * 4 * backend.threadPool.threads)
  }

  // SAFETY: parts do not overlap, and `storage` lives as long as this value.
  func part(_ worker: Int) -> UnsafeMutablePointer<Float> {
    storage.baseAddress.assumingMemoryBound(to: Float.self) + worker * floats
  }
}

extension CPUBackend {
  /// The sequences of a pack, longest first, so that the last items handed out are the short ones.
  static func sequences(_ bounds: [Int], tokens: Int) -> [Range<Int>] {
    precondition(bounds.first == 0 && bounds.last == tokens, "bounds must cover the rows")
    var sequences: [Range<Int>] = []
    sequences.reserveCapacity(bounds.count - 1)
    for (start, end) in zip(bounds, bounds.dropFirst()) where start < end {
      sequences.append(start..<end)
    }
    sequences.sort { ($1.count, $0.lowerBound) < ($0.count, $1.lowerBound) }
    return sequences
  }
}
