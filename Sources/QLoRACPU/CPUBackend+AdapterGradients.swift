// The gradients of an adapter's matrices: sums over tokens, in their order, by the same kernels.
import CQLoRAKernels
import QLoRATensor

// SAFETY: pointers lie inside tensors and pool memory whose sizes the shapes give; items write
// disjoint columns.
extension CPUBackend {
  /// `dA [rank, in] += lowᵀ·x`; lanes run along `in`, the sum along tokens.
  func addInputGradient(_ low: TokenTiles, _ x: Tensor, into gradient: Tensor) {
    let panels = storagePool.borrow(low.tokens * low.columns * 4)
    let panel = panels.baseAddress.assumingMemoryBound(to: Float.self)
    let kernels = product
    threadPool.run(low.count) { tile in
      for group in 0..<low.columns / 8 {
        kernels.unpack_f32(
          low.tokens(in: tile), 8, low[tile] + group * 8 * TokenTiles.width, nil,
          panel + (group * low.tokens + tile * TokenTiles.width) * 8, 8, 0)
      }
    }
    let (rank, columns) = (gradient.shape[0], gradient.shape[1])
    reduceTokens(panel, depth: low.columns, x) { c, lanes in
      let values = gradient.pointer(Float.self)
      for row in 0..<rank {
        for lane in 0..<lanes.count {
          values[row * columns + lanes.lowerBound + lane] += c[row * TokenTiles.width + lane]
        }
      }
    }
    withExtendedLifetime(panels) {}
  }

  /// `dB [out, rank] += scale·dYᵀ·u`; lanes run along `out`.
  func addOutputGradient(
    _ adapter: AdapterTerm, _ outputGradient: Tensor, into gradient: Tensor
  ) {
    let (tokens, rank) = (outputGradient.shape[0], gradient.shape[1])
    let depth = (rank + 7) / 8 * 8
    let panels = storagePool.borrow(tokens * depth * 4)
    let panel = panels.baseAddress.assumingMemoryBound(to: Float.self)
    let projected = adapter.projected.pointer(Float.self)
    runRows(tokens, width: depth) { range in
      for column in 0..<depth {
        let place = panel + column / 8 * tokens * 8 + column % 8
        for token in range {
          place[token * 8] = column < rank ? adapter.scale * projected[token * rank + column] : 0
        }
      }
    }
    let kernels = product
    reduceTokens(panel, depth: depth, outputGradient) { c, lanes in
      kernels.unpack_f32(
        lanes.count, rank, c, nil, gradient.pointer(Float.self) + lanes.lowerBound * rank, rank, 1)
    }
    withExtendedLifetime(panels) {}
  }

  /// `c [depth][48] = Σ_tokens panel [depth / 8][tokens][8] · x[token][lanes]` for every stretch of
  /// 48 columns of `x`, handed to `finish`.
  private func reduceTokens(
    _ panel: UnsafePointer<Float>, depth: Int, _ x: Tensor,
    _ finish: (_ c: UnsafePointer<Float>, _ lanes: Range<Int>) -> Void
  ) {
    let width = TokenTiles.width
    let (tokens, columns) = (x.shape[0], x.shape[1])
    let kernels = product
    let (storage, memory) = scratch(floats: (ProductBlocking.depth + depth) * width)
    threadPool.run((columns + width - 1) / width) { item, worker in
      let lanes = item * width..<min((item + 1) * width, columns)
      let rows = memory(worker)
      let c = rows + ProductBlocking.depth * width
      for start in stride(from: 0, to: tokens, by: ProductBlocking.depth) {
        let count = min(ProductBlocking.depth, tokens - start)
        copyLanes(x, tokens: start..<start + count, lanes, into: rows, kernels)
        for group in 0..<depth / 8 {
          kernels.tile(
            count, panel + (group * tokens + start) * 8, rows, c + group * 8 * width,
            (lanes.count + 15) / 16, start > 0 ? 1 : 0)
        }
      }
      finish(c, lanes)
    }
    withExtendedLifetime(storage) {}
  }

  private func copyLanes(
    _ x: Tensor, tokens: Range<Int>, _ lanes: Range<Int>,
    into output: UnsafeMutablePointer<Float>, _ kernels: qlora_product_kernels
  ) {
    let columns = x.shape[1]
    for (index, token) in tokens.enumerated() {
      let row = output + index * TokenTiles.width
      let place = token * columns + lanes.lowerBound
      if x.dtype == .float32 {
        row.update(from: x.pointer(Float.self) + place, count: lanes.count)
      } else {
        kernels.widen_bf16(lanes.count, x.pointer(UInt16.self) + place, row)
      }
      (row + lanes.count).update(repeating: 0, count: TokenTiles.width - lanes.count)
    }
  }
}
