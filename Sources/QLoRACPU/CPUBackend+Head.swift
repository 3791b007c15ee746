// The output head: cross entropy and scores over the vocabulary. Logits stay in tiles, vocabulary
// down and tokens across, as the product kernels leave them; a chunk of tokens at a time.
import CQLoRAKernels
import QLoRATensor

#if canImport(FoundationEssentials)
  import FoundationEssentials
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Logits of one chunk and, per block of the vocabulary, what softmax needs of them.
struct LogitChunk {
  /// Rows of the vocabulary whose maximum and sum are taken together; fixed, so that the order of
  /// the sums does not depend on the threads.
  static let blockRows = 64

  /// `[tiles][vocabulary][48]`.
  let logits: TokenTiles
  /// `[blocks][tiles][48]`.
  let largest: Storage
  let sums: Storage
  let winners: Storage
  /// 0 where logits are not capped.
  let softCap: Float

  init(tokens: Int, vocabulary: Int, softCap: Float, _ pool: StoragePool) {
    self.softCap = softCap
    logits = TokenTiles(tokens: tokens, columns: vocabulary, pool)
    let blocks = (vocabulary + Self.blockRows - 1) / Self.blockRows
    let bytes = blocks * logits.count * TokenTiles.width * 4
    largest = pool.borrow(bytes)
    sums = pool.borrow(bytes)
    winners = pool.borrow(bytes)
  }

  func floats(_ storage: Storage, block: Int, tile: Int) -> UnsafeMutablePointer<Float> {
    storage.baseAddress.assumingMemoryBound(to: Float.self)
      + (block * logits.count + tile) * TokenTiles.width
  }

  func rows(block: Int, tile: Int) -> UnsafeMutablePointer<Int32> {
    winners.baseAddress.assumingMemoryBound(to: Int32.self)
      + (block * logits.count + tile) * TokenTiles.width
  }

  /// Caps the logits of a block, and takes their maximum and the sum of their exponentials.
  func summarize(block: Int, tile: Int, rows count: Int, _ kernels: qlora_product_kernels) {
    let c = logits[tile] + block * Self.blockRows * TokenTiles.width
    let largest = floats(largest, block: block, tile: tile)
    if softCap > 0 { kernels.cap(count * TokenTiles.width, c, softCap) }
    kernels.lane_max(count, c, largest, rows(block: block, tile: tile))
    kernels.lane_exp_sum(count, c, largest, floats(sums, block: block, tile: tile))
  }
}

/// One token's softmax: where its logits peak and the logarithm of their sum.
private struct TokenSoftmax {
  var logSumExp: Double
  var mostLikely: Int32
}

// SAFETY: pointers lie inside the chunk's tiles, whose sizes come from the same vocabulary and
// tokens; items write disjoint blocks of the vocabulary.
extension CPUBackend {
  /// Bytes of logits that a chunk may take: enough tokens that decoding the head, which every chunk
  /// does twice, costs little beside its products.
  private static let logitBytes = 64 << 20

  package func linearCrossEntropy(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float,
    hiddenGradient: Tensor?
  ) -> Double {
    precondition(rows.count == targets.count)
    if softCap == 0, let kernels = matrixKernels(for: hidden.dtype) {
      return linearCrossEntropyByMatrix(
        hidden, rows: rows, targets: targets, head: panelWeight(head),
        hiddenGradient: hiddenGradient, kernels)
    }
    hiddenGradient?.zero()
    var loss = 0.0
    forEachChunk(hidden, rows, head, softCap) { range, chunk, softmax in
      for index in range {
        let token = index - range.lowerBound
        loss += softmax[token].logSumExp - Double(logit(chunk, token, targets[index]))
      }
      if let hiddenGradient {
        turnIntoGradient(chunk, softmax, targets[range])
        backpropagateHead(chunk.logits, panelWeight(head), rows[range], into: hiddenGradient)
      }
    }
    return loss
  }

  package func scoreTokens(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    precondition(rows.count == targets.count)
    if softCap == 0, let kernels = matrixKernels(for: hidden.dtype) {
      return scoreTokensByMatrix(
        hidden, rows: rows, targets: targets, head: panelWeight(head), kernels)
    }
    var likelihoods: [Float] = []
    var winners: [Int32] = []
    forEachChunk(hidden, rows, head, softCap) { range, chunk, softmax in
      for index in range {
        let token = index - range.lowerBound
        likelihoods.append(
          Float(softmax[token].logSumExp - Double(logit(chunk, token, targets[index]))))
        winners.append(softmax[token].mostLikely)
      }
    }
    return (likelihoods, winners)
  }

  private func logit(_ chunk: LogitChunk, _ token: Int, _ row: Int32) -> Float {
    let width = TokenTiles.width
    return chunk.logits[token / width][Int(row) * width + token % width]
  }

  /// Computes the logits of `rows`, a chunk at a time, with the softmax of every token.
  private func forEachChunk(
    _ hidden: Tensor, _ rows: [Int32], _ head: any PreparedWeight, _ softCap: Float,
    _ body: (_ range: Range<Int>, _ chunk: LogitChunk, _ softmax: [TokenSoftmax]) -> Void
  ) {
    let weight = panelWeight(head)
    let width = TokenTiles.width
    let fitting = Self.logitBytes / (weight.outFeatures * width * 4) * width
    let step = max(width, min(fitting, 6 * width))
    for start in stride(from: 0, to: rows.count, by: step) {
      let range = start..<min(start + step, rows.count)
      let gathered = gather(hidden, rows[range])
      let float = gathered.dtype == .float16 ? widened(gathered) : gathered
      let tiles = pack(float, tokens: range.count, columns: weight.inFeatures)
      let chunk = LogitChunk(
        tokens: range.count, vocabulary: weight.outFeatures, softCap: softCap, storagePool)
      fill(chunk, weight, tiles)
      body(range, chunk, softmax(of: chunk, vocabulary: weight.outFeatures))
    }
  }

  /// Rows `rows` of `hidden`, one after the other.
  func gather(_ hidden: Tensor, _ rows: ArraySlice<Int32>) -> Tensor {
    let columns = hidden.shape[1]
    let output = allocate([rows.count, columns], hidden.dtype)
    let rowBytes = columns * hidden.dtype.byteSize
    for (index, row) in rows.enumerated() {
      (output.address + index * rowBytes).copyMemory(
        from: hidden.address + Int(row) * rowBytes, byteCount: rowBytes)
    }
    return output
  }

  /// Logits, and the maximum and sum of exponentials of every block while it is in the cache.
  private func fill(_ chunk: LogitChunk, _ weight: any PanelWeight, _ tiles: TokenTiles) {
    if let products = int16Products([weight]) {
      products.fill(chunk, tiles)
      return
    }
    let kernels = product
    let depth = weight.inFeatures
    let vocabulary = weight.outFeatures
    let blocks = (vocabulary + LogitChunk.blockRows - 1) / LogitChunk.blockRows
    let (storage, memory) = scratch(floats: (depth + 16) * LogitChunk.blockRows)
    threadPool.run(blocks) { block, worker in
      let first = block * LogitChunk.blockRows
      let rows = min(LogitChunk.blockRows, vocabulary - first)
      let groups = (rows + 7) / 8
      let w = memory(worker)
      for group in 0..<groups {
        weight.decode(
          group: first / 8 + group, columns: 0..<depth, into: w + group * 8 * depth, kernels)
      }
      for tile in 0..<tiles.count {
        let c = chunk.logits[tile] + first * TokenTiles.width
        for start in stride(from: 0, to: depth, by: ProductBlocking.depth) {
          let count = min(ProductBlocking.depth, depth - start)
          for group in 0..<groups {
            kernels.tile(
              count, w + (group * depth + start) * 8, tiles[tile] + start * TokenTiles.width,
              c + group * 8 * TokenTiles.width, 3, start > 0 ? 1 : 0)
          }
        }
        chunk.summarize(block: block, tile: tile, rows: rows, kernels)
      }
    }
    withExtendedLifetime(storage) {}
  }

  /// Joins the blocks of the vocabulary, in their order and in double precision.
  private func softmax(of chunk: LogitChunk, vocabulary: Int) -> [TokenSoftmax] {
    let blocks = (vocabulary + LogitChunk.blockRows - 1) / LogitChunk.blockRows
    var result = [TokenSoftmax](
      repeating: TokenSoftmax(logSumExp: 0, mostLikely: 0), count: chunk.logits.tokens)
    result.withUnsafeMutableBufferPointer { result in
      let place = result.baseAddress
      threadPool.run(chunk.logits.tokens) { token in
        place?[token] = softmax(of: chunk, token: token, blocks: blocks)
      }
    }
    return result
  }

  private func softmax(of chunk: LogitChunk, token: Int, blocks: Int) -> TokenSoftmax {
    let (tile, lane) = (token / TokenTiles.width, token % TokenTiles.width)
    var best = -Float.infinity
    var winner: Int32 = 0
    for block in 0..<blocks {
      let value = chunk.floats(chunk.largest, block: block, tile: tile)[lane]
      if value > best || block == 0 {
        best = value
        winner = Int32(block * LogitChunk.blockRows) + chunk.rows(block: block, tile: tile)[lane]
      }
    }
    var sum = 0.0
    for block in 0..<blocks {
      let value = chunk.floats(chunk.largest, block: block, tile: tile)[lane]
      let part = chunk.floats(chunk.sums, block: block, tile: tile)[lane]
      sum += Double(part) * exp(Double(value) - Double(best))
    }
    return TokenSoftmax(logSumExp: Double(best) + log(sum), mostLikely: winner)
  }

  /// Logits become `softmax − onehot`, in place, times the slope of their cap where they have one;
  /// rows past the vocabulary become zero.
  private func turnIntoGradient(
    _ chunk: LogitChunk, _ softmax: [TokenSoftmax], _ targets: ArraySlice<Int32>
  ) {
    let width = TokenTiles.width
    let kernels = product
    let (logits, cap) = (chunk.logits, chunk.softCap)
    let wanted = targets.enumerated().map { token, target in
      let bent = cap > 0 ? logit(chunk, token, target) / cap : 0
      return 1 - bent * bent
    }
    let blockRows = 4096
    let blocks = (logits.columns + blockRows - 1) / blockRows
    threadPool.run(logits.count * blocks) { item in
      let (tile, block) = (item / blocks, item % blocks)
      let rows = min(blockRows, logits.columns - block * blockRows)
      withUnsafeTemporaryAllocation(of: Float.self, capacity: width) { shift in
        for lane in 0..<width {
          let token = tile * width + lane
          // A lane without a token shifts to exp(−∞) = 0.
          shift[lane] = token < logits.tokens ? Float(softmax[token].logSumExp) : .infinity
        }
        let place = logits[tile] + block * blockRows * width
        if cap > 0 {
          kernels.lane_exp_capped(rows, place, shift.baseAddress, cap)
        } else {
          kernels.lane_exp(rows, place, shift.baseAddress)
        }
      }
    }
    for (token, target) in targets.enumerated() {
      logits[token / width][Int(target) * width + token % width] -= wanted[token]
    }
  }

  private func backpropagateHead(
    _ gradient: TokenTiles, _ weight: any PanelWeight, _ rows: ArraySlice<Int32>,
    into output: Tensor
  ) {
    let columns = weight.inFeatures
    let part = allocate([gradient.tokens, columns], .float32)
    backpropagate(gradient, weight, into: part)
    let values = part.pointer(Float.self)
    let place = output.pointer(Float.self)
    for (index, row) in rows.enumerated() {
      let target = place + Int(row) * columns
      for column in 0..<columns { target[column] += values[index * columns + column] }
    }
  }
}
