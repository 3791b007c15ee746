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
    let present = copies.filter { $0.rows > 0 && $0.columns > 0 }
    let most = Int(QLORA_CUDA_MOST_COPIES)
    for first in stride(from: 0, to: present.count, by: most) {
      launch(present[first..<min(present.count, first + most)])
    }
  }

  /// `to [rows][columns] = from`, zeros where it is nil.
  func copy(_ from: DeviceMatrix?, to: DeviceMatrix, rows: Int, columns: Int) {
    copy([MatrixCopy(from: from, to: to, rows: rows, columns: columns)])
  }

  private func launch(_ copies: ArraySlice<MatrixCopy>) {
    var list = qlora_cuda_copies()
    var total = 0
    for (place, copy) in copies.enumerated() {
      let count = blocks(overPiecesOf: copy.columns, rows: copy.rows)
      qlora_cuda_set_copy(&list, Int32(place), argument(copy, blocks: count))
      total += count
    }
    kernels.launch("qlora_copy", grid: (total, 1, 1), threads: Self.elementThreads, [list])
  }

  private func argument(_ copy: MatrixCopy, blocks: Int) -> qlora_cuda_copy {
    qlora_cuda_copy(
      x: copy.from?.address ?? 0, out: copy.to.address, x_width: Int64(copy.from?.stride ?? 0),
      out_width: Int64(copy.to.stride), rows: Int64(copy.rows), columns: Int64(copy.columns),
      factor: copy.factor, x_type: copy.from?.dtype.element ?? 0, out_type: copy.to.dtype.element,
      adding: copy.isAdding ? 1 : 0, blocks: Int32(blocks))
  }
}
