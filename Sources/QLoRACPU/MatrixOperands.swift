// The factors of bf16 products as their kernels read them (`qlora_kernels_matrix.h`): strips of 32
// rows on the left, blocks of 32 columns on the right.
import CQLoRAKernels
import QLoRATensor

/// Sizes of the blocks of a bf16 product, and the caches that they are for.
enum MatrixBlocking {
  /// Bytes of right-hand columns per work item: half of a 2 MiB L2, which every strip passes over.
  static let columnBytes = 1 << 20
  /// Items per thread, so that the last ones to finish wait for little.
  static let itemsPerThread = 2
  /// Elements that a column takes per step of the reduction.
  static let step = QLORA_STEP

  /// Steps that hold a reduction of `depth`.
  static func steps(_ depth: Int) -> Int { (depth + step - 1) / step }

  /// Columns per work item, a multiple of 32: as many as fit, shared out over the threads.
  static func columns(of count: Int, steps: Int, threads: Int) -> Int {
    let fitting = columnBytes / (max(1, steps) * step * 2) / 32 * 32
    let balanced = (count / (threads * itemsPerThread) + 31) / 32 * 32
    return max(32, min(fitting, balanced))
  }
}

// SAFETY: `storage` holds `count` strips of `steps` steps; every pointer here stays in them.
/// `[strips][steps][32 rows][32]` bf16 in memory of the pool.
struct TokenStrips {
  static let rows = QLORA_STRIP_ROWS

  let tokens: Int
  let steps: Int
  let storage: Storage

  /// - Parameter columns: of the reduction; the last step is zero padded by whoever packs.
  init(tokens: Int, columns: Int, _ pool: StoragePool) {
    self.tokens = tokens
    steps = MatrixBlocking.steps(columns)
    let count = (tokens + Self.rows - 1) / Self.rows
    storage = pool.borrow(count * steps * QLORA_STEP_ELEMENTS * 2)
  }

  var count: Int { (tokens + Self.rows - 1) / Self.rows }

  func tokens(in strip: Int) -> Int { min(Self.rows, tokens - strip * Self.rows) }

  subscript(strip: Int) -> UnsafeMutablePointer<UInt16> {
    storage.baseAddress.assumingMemoryBound(to: UInt16.self)
      + strip * steps * QLORA_STEP_ELEMENTS
  }

  /// A strip as one stretch of a reduction against `columns`.
  func part(_ strip: Int, columns: UnsafePointer<UInt16>) -> qlora_matrix_part {
    qlora_matrix_stretch(steps, self[strip], columns)
  }
}

// SAFETY: sizes come from the tensors' and weights' shapes; items write disjoint strips, and
// callers of the packing functions give memory for `MatrixBlocking.steps` steps of whole blocks.
extension CPUBackend {
  /// The kernels of bf16 products, where this call is to use them: scalar ones are for tests and
  /// lose against OpenBLAS.
  func matrixKernels(for dtype: DType) -> qlora_matrix_kernels? {
    guard dtype == .bfloat16, engine != .openBLAS, !(engine == .automatic && isScalar) else {
      return nil
    }
    return kernels.pointee.matrix?.pointee
  }

  /// Whether products of activations of this type round both factors to bf16, because this CPU
  /// multiplies them faster so. Elsewhere bf16 is a type of storage only.
  package func roundsProducts(of dtype: DType) -> Bool { matrixKernels(for: dtype) != nil }

  /// Whether attention of bf16 rows rounds probabilities and gradients of scores to bf16 too.
  package var roundsAttention: Bool {
    kernels.pointee.matrix != nil && !isScalar
  }

  /// `input [tokens, columns]` in strips, rounded to bf16.
  func strips(of input: Tensor, _ kernels: qlora_matrix_kernels) -> TokenStrips {
    let strips = TokenStrips(tokens: input.shape[0], columns: input.shape[1], storagePool)
    threadPool.run(strips.count) { pack(input, $0, into: strips, kernels) }
    return strips
  }

  private func pack(
    _ input: Tensor, _ strip: Int, into strips: TokenStrips, _ kernels: qlora_matrix_kernels
  ) {
    let columns = input.shape[1]
    let (rows, first) = (strips.tokens(in: strip), strip * TokenStrips.rows * columns)
    if input.dtype == .bfloat16 {
      kernels.strip_bf16(
        rows, columns, input.pointer(UInt16.self) + first, columns, strips[strip])
    } else {
      kernels.strip_f32(rows, columns, input.pointer(Float.self) + first, columns, strips[strip])
    }
  }

  /// Rows `rows` of a weight as columns of the right factor, the reduction along its inputs;
  /// `panels` is scratch for two groups, `2 · 8 · (in + 16)` floats.
  func packRows(
    _ weight: any PanelWeight, rows: Range<Int>, into output: UnsafeMutablePointer<UInt16>,
    panels: UnsafeMutablePointer<Float>, _ kernels: qlora_matrix_kernels
  ) {
    let depth = weight.inFeatures
    let block = MatrixBlocking.steps(depth) * QLORA_STEP_ELEMENTS
    let stride = 8 * (depth + 16)
    for half in 0..<(rows.count + 31) / 32 * 2 {
      for index in 0..<2 {
        let panel = panels + index * stride
        let group = rows.lowerBound / 8 + 2 * half + index
        if group < weight.groups {
          weight.decode(group: group, columns: 0..<depth, into: panel, product)
        } else {
          panel.update(repeating: 0, count: 8 * depth)
        }
      }
      kernels.half_of_rows(
        depth, panels, panels + stride,
        output + half / 2 * block + half % 2 * (QLORA_STEP_ELEMENTS / 2))
    }
  }

  /// Columns `columns` of a weight as columns of the right factor, the reduction along its outputs;
  /// `panels` is scratch for four groups, `4 · 8 · (columns + 32)` floats.
  func packColumns(
    _ weight: any PanelWeight, columns: Range<Int>, into output: UnsafeMutablePointer<UInt16>,
    panels: UnsafeMutablePointer<Float>, _ kernels: qlora_matrix_kernels
  ) {
    let steps = MatrixBlocking.steps(weight.outFeatures)
    let width = (columns.count + 31) / 32 * 32
    for step in 0..<steps {
      let groups = min(4, weight.groups - 4 * step)
      for group in 0..<groups {
        let panel = panels + group * width * 8
        weight.decode(group: 4 * step + group, columns: columns, into: panel, product)
        let decoded = (columns.count + 15) / 16 * 16
        (panel + decoded * 8).update(repeating: 0, count: (width - decoded) * 8)
      }
      for half in 0..<width / 16 {
        kernels.half_of_columns(
          groups, panels + half * 128, width * 8,
          output + (half / 2 * steps + step) * QLORA_STEP_ELEMENTS
            + half % 2 * (QLORA_STEP_ELEMENTS / 2))
      }
    }
  }

  /// Columns `columns` of `rows [count][stride]` as columns of the right factor, the reduction
  /// along `count`.
  func packTransposed(
    _ rows: UnsafePointer<Float>, count: Int, stride: Int, columns: Range<Int>,
    into output: UnsafeMutablePointer<UInt16>, _ kernels: qlora_matrix_kernels
  ) {
    let steps = MatrixBlocking.steps(count)
    for half in 0..<(columns.count + 31) / 32 * 2 {
      let width = min(16, max(0, columns.count - 16 * half))
      kernels.half_of_tokens_f32(
        count, width, rows + (width > 0 ? columns.lowerBound + 16 * half : 0), stride,
        output + half / 2 * steps * QLORA_STEP_ELEMENTS + half % 2 * (QLORA_STEP_ELEMENTS / 2))
    }
  }

  /// `input [tokens, columns]` as strips of its rows and as columns whose reduction is the tokens,
  /// in one pass over it.
  func stripsAndColumns(
    of input: Tensor, _ kernels: qlora_matrix_kernels
  ) -> (TokenStrips, TokenColumns) {
    let strips = TokenStrips(tokens: input.shape[0], columns: input.shape[1], storagePool)
    let columns = TokenColumns(tokens: input.shape[0], columns: input.shape[1], storagePool)
    threadPool.run(strips.count) { strip in
      pack(input, strip, into: strips, kernels)
      pack(input, step: strip, into: columns, kernels)
    }
    return (strips, columns)
  }

  /// `input [tokens, columns]` as columns whose reduction is the tokens.
  func columns(of input: Tensor, _ kernels: qlora_matrix_kernels) -> TokenColumns {
    let columns = TokenColumns(tokens: input.shape[0], columns: input.shape[1], storagePool)
    threadPool.run(columns.steps) { step in pack(input, step: step, into: columns, kernels) }
    return columns
  }

  /// Packs the tokens of one step, so that rows are read whole.
  private func pack(
    _ input: Tensor, step: Int, into columns: TokenColumns, _ kernels: qlora_matrix_kernels
  ) {
    let width = input.shape[1]
    let first = step * MatrixBlocking.step
    let tokens = min(MatrixBlocking.step, input.shape[0] - first)
    for half in 0..<columns.blocks * 2 {
      let count = min(16, max(0, width - 16 * half))
      let place = first * width + (count > 0 ? 16 * half : 0)
      let output = columns[half / 2] + step * QLORA_STEP_ELEMENTS
        + half % 2 * (QLORA_STEP_ELEMENTS / 2)
      if input.dtype == .bfloat16 {
        kernels.half_of_tokens_bf16(
          tokens, count, input.pointer(UInt16.self) + place, width, output)
      } else {
        kernels.half_of_tokens_f32(
          tokens, count, input.pointer(Float.self) + place, width, output)
      }
    }
  }
}

// SAFETY: `storage` holds `blocks` blocks of `steps` steps; every pointer here stays in them.
/// Activations as the right factor of a sum over tokens: `[blocks of 32 columns][steps of 32
/// tokens]` bf16 in memory of the pool.
struct TokenColumns {
  let steps: Int
  let blocks: Int
  let storage: Storage

  init(tokens: Int, columns: Int, _ pool: StoragePool) {
    steps = MatrixBlocking.steps(tokens)
    blocks = (columns + 31) / 32
    storage = pool.borrow(blocks * steps * QLORA_STEP_ELEMENTS * 2)
  }

  subscript(block: Int) -> UnsafeMutablePointer<UInt16> {
    storage.baseAddress.assumingMemoryBound(to: UInt16.self)
      + block * steps * QLORA_STEP_ELEMENTS
  }
}
