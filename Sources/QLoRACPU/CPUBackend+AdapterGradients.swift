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
      for token in range {
        let from = projected + token * rank
        for group in 0..<depth / 8 {
          let place = panel + (group * tokens + token) * 8
          let count = min(8, rank - group * 8)
          for column in 0..<count { place[column] = adapter.scale * from[group * 8 + column] }
          for column in count..<8 { place[column] = 0 }
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

  /// Stretches of 48 columns per work item: whole rows are read along, not a piece of every page.
  private static let stretches = 4

  /// `c [depth][48] = Σ_tokens panel [depth / 8][tokens][8] · x[token][lanes]` for every stretch of
  /// 48 columns of `x`, handed to `finish`.
  private func reduceTokens(
    _ panel: UnsafePointer<Float>, depth: Int, _ x: Tensor,
    _ finish: (_ c: UnsafePointer<Float>, _ lanes: Range<Int>) -> Void
  ) {
    let width = TokenTiles.width
    let (tokens, columns) = (x.shape[0], x.shape[1])
    let kernels = product
    let all = (columns + width - 1) / width
    let perItem = max(1, min(Self.stretches, all / (threadPool.threads * 2)))
    let (storage, memory) = scratch(
      floats: perItem * (ProductBlocking.depth + depth) * width)
    threadPool.run((all + perItem - 1) / perItem) { item, worker in
      let stretches = item * perItem..<min((item + 1) * perItem, all)
      let rows = memory(worker)
      let sums = rows + perItem * ProductBlocking.depth * width
      for start in stride(from: 0, to: tokens, by: ProductBlocking.depth) {
        let count = min(ProductBlocking.depth, tokens - start)
        copyLanes(x, tokens: start..<start + count, stretches, into: rows, kernels)
        for (index, stretch) in stretches.enumerated() {
          for group in 0..<depth / 8 {
            kernels.tile(
              count, panel + (group * tokens + start) * 8,
              rows + index * ProductBlocking.depth * width,
              sums + (index * depth + group * 8) * width,
              (lanes(of: stretch, columns).count + 15) / 16, start > 0 ? 1 : 0)
          }
        }
      }
      for (index, stretch) in stretches.enumerated() {
        finish(sums + index * depth * width, lanes(of: stretch, columns))
      }
    }
    withExtendedLifetime(storage) {}
  }

  private func lanes(of stretch: Int, _ columns: Int) -> Range<Int> {
    stretch * TokenTiles.width..<min((stretch + 1) * TokenTiles.width, columns)
  }

  /// `x[tokens][stretches]` to `[stretches][ProductBlocking.depth][48]`, token after token.
  private func copyLanes(
    _ x: Tensor, tokens: Range<Int>, _ stretches: Range<Int>,
    into output: UnsafeMutablePointer<Float>, _ kernels: qlora_product_kernels
  ) {
    let width = TokenTiles.width
    let columns = x.shape[1]
    let isFloat = x.dtype == .float32
    for (index, token) in tokens.enumerated() {
      for (part, stretch) in stretches.enumerated() {
        let lanes = lanes(of: stretch, columns)
        let row = output + (part * ProductBlocking.depth + index) * width
        let place = token * columns + lanes.lowerBound
        if isFloat && lanes.count == width {
          copyWhole(x.pointer(Float.self) + place, to: row)
          continue
        }
        if isFloat {
          row.update(from: x.pointer(Float.self) + place, count: lanes.count)
        } else {
          kernels.widen_bf16(lanes.count, x.pointer(UInt16.self) + place, row)
        }
        (row + lanes.count).update(repeating: 0, count: width - lanes.count)
      }
    }
  }

  /// 48 floats without a call, which would take longer than the copying.
  @inline(__always)
  private func copyWhole(_ from: UnsafePointer<Float>, to: UnsafeMutablePointer<Float>) {
    for start in stride(from: 0, to: TokenTiles.width, by: 16) {
      let lanes = UnsafeRawPointer(from + start).loadUnaligned(as: SIMD16<Float>.self)
      UnsafeMutableRawPointer(to + start).storeBytes(of: lanes, as: SIMD16<Float>.self)
    }
  }
}
