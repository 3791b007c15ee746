// Copies of matrices with a change of type or stride, many of them in one launch: what stands before
// and behind products is mostly small, and a launch takes longer than it does.
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
  /// Makes copies side by side: none may write what another reads.
  func copy(_ copies: [MatrixCopy]) {
    var list = qlora_cuda_copies()
    var blocks = 0
    for copy in copies where copy.rows > 0 && copy.columns > 0 {
      if list.count == QLORA_CUDA_MOST_COPIES {
        launch(list, blocks)
        (list, blocks) = (qlora_cuda_copies(), 0)
      }
      let share = self.blocks(copy)
      qlora_cuda_append_copy(&list, argument(copy, firstBlock: blocks, share))
      blocks += share
    }
    launch(list, blocks)
  }

  func copy(_ from: DeviceMatrix?, to: DeviceMatrix, rows: Int, columns: Int) {
    copy([MatrixCopy(from: from, to: to, rows: rows, columns: columns)])
  }

  private func launch(_ copies: qlora_cuda_copies, _ blocks: Int) {
    kernels.launch(
      "qlora_copy", grid: (blocks, 1, 1), threads: Self.elementThreads, [copies])
  }

  /// Whose threads take a piece of a row or a few.
  private func blocks(_ copy: MatrixCopy) -> Int {
    // `piece` elements each in the kernels.
    let pieces = copy.rows * ((copy.columns + 7) / 8)
    let wanted = (pieces + Self.elementThreads - 1) / Self.elementThreads
    return min(wanted, device.processors * Self.pieceBlocksPerProcessor)
  }

  private func argument(
    _ copy: MatrixCopy, firstBlock: Int, _ blocks: Int
  ) -> qlora_cuda_copy {
    qlora_cuda_copy(
      x: copy.from?.address ?? 0, out: copy.to.address, x_width: Int64(copy.from?.stride ?? 0),
      out_width: Int64(copy.to.stride), rows: Int64(copy.rows), columns: Int64(copy.columns),
      factor: copy.factor, x_type: copy.from?.dtype.element ?? 0, out_type: copy.to.dtype.element,
      adding: copy.isAdding ? 1 : 0, first_block: Int32(firstBlock), blocks: Int32(blocks))
  }
}
