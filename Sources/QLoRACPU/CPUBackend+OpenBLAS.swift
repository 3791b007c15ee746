// The other implementation of `linear`: decode a block of rows to fp32, then OpenBLAS. It exists to
// measure the fused kernels against and for shapes where it wins.
import COpenBLAS
import CQLoRAKernels
import QLoRATensor

// SAFETY: as in `CPUBackend+Linear.swift`; OpenBLAS is given the dimensions of the tensors.
extension CPUBackend {
  /// Rows of a weight that are decoded and multiplied at once.
  private static let blockRows = 128

  /// Measured with `qlora-bench kernels` on Zen 4 (two cores, AVX-512): decoding and OpenBLAS take
  /// 1.2 to 1.3 times as long as the fused kernels at 512 tokens, 1.3 to 1.5 times at 128, twice
  /// as long at 32 and 4 to 6 times at 1; with the AVX2 kernels 1.03 times at 512. `automatic`
  /// therefore prefers OpenBLAS only where the fused kernels would be scalar.
  var usesOpenBLAS: Bool {
    switch engine {
    case .fused, .int16: false
    case .openBLAS: true
    case .automatic: isScalar
    }
  }

  /// OpenBLAS runs single-threaded inside our items, so that decoding is parallel too. Letting it
  /// own the threads instead is `openBLASThreadsOverFused` of `qlora-bench kernels`; on a busy
  /// machine that gave 0.7 and 1.3 for two shapes, which decides nothing.
  func linearByOpenBLAS(
    _ input: Tensor, _ terms: [LinearTerm], _ weights: [any PanelWeight]
  ) {
    openblas_set_num_threads(1)
    let x = widened(input)
    let tokens = input.shape[0]
    for (term, weight) in zip(terms, weights) {
      if let adapter = term.adapter {
        let source = adapter.dropout.map { dropped(input, $0) } ?? x
        let (rank, columns) = (adapter.a.shape[0], adapter.a.shape[1])
        cblas_sgemm(
          CblasRowMajor, CblasNoTrans, CblasTrans, Int32(tokens), Int32(rank), Int32(columns), 1,
          source.pointer(Float.self), Int32(columns), adapter.a.pointer(Float.self),
          Int32(columns), 0, adapter.projected.pointer(Float.self), Int32(rank))
      }
      let output =
        term.output.dtype == .float32 ? term.output : allocate(term.output.shape, .float32)
      let (storage, memory) = scratch(floats: (Self.blockRows + 16) * weight.inFeatures + 256)
      threadPool.run((weight.outFeatures + Self.blockRows - 1) / Self.blockRows) { item, worker in
        let first = item * Self.blockRows
        let rows = first..<min(first + Self.blockRows, weight.outFeatures)
        multiply(x, term, weight, rows: rows, into: output, scratch: memory(worker))
      }
      withExtendedLifetime(storage) {}
      if term.output.dtype != .float32 { narrow(output, into: term.output) }
    }
  }

  private func multiply(
    _ x: Tensor, _ term: LinearTerm, _ weight: any PanelWeight, rows: Range<Int>,
    into output: Tensor, scratch: UnsafeMutablePointer<Float>
  ) {
    let (tokens, columns, outFeatures) = (x.shape[0], weight.inFeatures, weight.outFeatures)
    let place = output.pointer(Float.self) + rows.lowerBound
    let bias = term.bias?.pointer(Float.self)
    for token in 0..<tokens {
      for row in 0..<rows.count {
        place[token * outFeatures + row] = bias?[rows.lowerBound + row] ?? 0
      }
    }
    decodeRows(weight, rows: rows, into: scratch, panel: scratch + rows.count * columns)
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, Int32(tokens), Int32(rows.count), Int32(columns), 1,
      x.pointer(Float.self), Int32(columns), scratch, Int32(columns), 1, place,
      Int32(outFeatures))
    if let adapter = term.adapter {
      let rank = adapter.a.shape[0]
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(tokens), Int32(rows.count), Int32(rank),
        adapter.scale, adapter.projected.pointer(Float.self), Int32(rank),
        adapter.b.pointer(Float.self) + rows.lowerBound * rank, Int32(rank), 1, place,
        Int32(outFeatures))
    }
  }

  private func narrow(_ input: Tensor, into output: Tensor) {
    let values = input.pointer(Float.self)
    let bits = output.pointer(UInt16.self)
    let columns = input.shape[1]
    threadPool.run(input.shape[0]) { row in
      for index in row * columns..<(row + 1) * columns { bits[index] = values[index].bfloat16Bits }
    }
  }
}
