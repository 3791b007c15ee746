// Copies of matrices with a change of type or stride, many of them in one launch: what stands
// before and behind products is mostly small, and a launch takes longer than it does.
import CQLoRACUDA
import QLoRATensor

/// `to [rows][columns] = factor · from`, or that added to it; zeros where `from` is nil.
struct MatrixCopy {
  var from: DeviceMatrix?
  var to: DeviceMatrix
  var rows: Int
  var columns: Int
  var factor: Float = 1
  var isAdding = false
}

extension CUDABackend {
  /// Makes copies side by side: none may write what another reads or writes.
  func copy(_ copies: [MatrixCopy]) {
    let some = copies.filter { $0.rows > 0 && $0.columns > 0 }
    for first in stride(from: 0, to: some.count, by: Int(QLORA_CUDA_MOST_COPIES)) {
      launch(some[first..<min(some.count, first + Int(QLORA_CUDA_MOST_COPIES))])
    }
  }

  func copy(_ from: DeviceMatrix?, to: DeviceMatrix, rows: Int, columns: Int) {
    copy([MatrixCopy(from: from, to: to, rows: rows, columns: columns)])
  }

  private func launch(_ copies: ArraySlice<MatrixCopy>) {
    var list = qlora_cuda_copies()
    var blocks = 0
    for (place, copy) in copies.enumerated() {
      let share = self.blocks(copy)
      qlora_cuda_set_copy(&list, Int32(place), argument(copy, share))
      blocks += share
    }
    kernels.launch("qlora_copy", grid: (blocks, 1, 1), threads: Self.elementThreads, [list])
  }

  /// Whose threads take a piece of a row or a few.
  private func blocks(_ copy: MatrixCopy) -> Int {
    // `piece` elements each in the kernels.
    let pieces = copy.rows * ((copy.columns + 7) / 8)
    let wanted = (pieces + Self.elementThreads - 1) / Self.elementThreads
    return min(wanted, device.processors * Self.pieceBlocksPerProcessor)
  }

  private func argument(_ copy: MatrixCopy, _ blocks: Int) -> qlora_cuda_copy {
    qlora_cuda_copy(
      x: copy.from?.address ?? 0, out: copy.to.address, x_width: Int64(copy.from?.stride ?? 0),
      out_width: Int64(copy.to.stride), rows: Int64(copy.rows), columns: Int64(copy.columns),
      factor: copy.factor, x_type: copy.from?.dtype.element ?? 0, out_type: copy.to.dtype.element,
      adding: copy.isAdding ? 1 : 0, blocks: Int32(blocks))
  }
}
