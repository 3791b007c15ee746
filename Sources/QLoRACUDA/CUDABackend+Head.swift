// The output head: cross entropy and scores over the vocabulary, for a chunk of rows at a time.
import QLoRATensor

/// What a head's loss gives for each row of a chunk, and the device memory that holds it.
private struct RowScores {
  /// `[rows]` float64.
  let losses: Tensor
  /// `[rows]` int32.
  let winners: Tensor

  init(_ rows: Int, _ backend: CUDABackend) {
    losses = backend.allocate([rows], .float64)
    winners = backend.allocate([rows], .int32)
  }
}

extension CUDABackend {
  /// Bytes that a chunk's logits and their gradient may take: enough rows that the products are
  /// large, little beside a GPU's memory.
  private static let logitBytes = 512 << 20

  package func linearCrossEntropy(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float,
    hiddenGradient: Tensor?
  ) -> Double {
    precondition(rows.count == targets.count)
    hiddenGradient?.zero()
    let scores = forEachChunk(
      hidden, rows, targets, head, softCap, hiddenGradient: hiddenGradient)
    let losses = scores.losses.withElements(Double.self) { Array($0) }
    return device.failure == nil ? losses.reduce(0, +) : .nan
  }

  package func scoreTokens(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    precondition(rows.count == targets.count)
    let scores = forEachChunk(hidden, rows, targets, head, softCap, hiddenGradient: nil)
    return (
      scores.losses.withElements(Double.self) { $0.map { Float($0) } },
      scores.winners.withElements(Int32.self) { Array($0) }
    )
  }

  package func likeliest(_ values: Tensor) -> Int32 {
    precondition(values.dtype == .float32 && values.count > 0)
    let place = allocate([1], .int32)
    kernels.launch(
      "qlora_likeliest", grid: (1, 1, 1), threads: 1024,
      [read(values), values.count, write(place)])
    return place.withElements(Int32.self) { $0[0] }
  }

  /// Computes the logits of `rows`, a chunk at a time, what they score, and the gradient.
  private func forEachChunk(
    _ hidden: Tensor, _ rows: [Int32], _ targets: [Int32], _ head: any PreparedWeight,
    _ softCap: Float, hiddenGradient: Tensor?
  ) -> RowScores {
    let (weight, dtype) = (deviceWeight(head), productType(hidden))
    let scores = RowScores(rows.count, self)
    if rows.isEmpty { return scores }
    precondition(targets.allSatisfy { $0 >= 0 && Int($0) < weight.outFeatures })
    var scratch: Tensor?
    let table = whole(weight, dtype, scratch: &scratch)
    let rowBytes = weight.outFeatures * (4 + dtype.byteSize)
    let step = max(1, Self.logitBytes / rowBytes)
    for start in stride(from: 0, to: rows.count, by: step) {
      let range = start..<min(start + step, rows.count)
      score(
        gathered(hidden, Array(rows[range]), dtype), Array(rows[range]), Array(targets[range]),
        table, vocabulary: weight.outFeatures, softCap: softCap,
        losses: scores.losses.rows(range), winners: scores.winners.rows(range),
        hiddenGradient: hiddenGradient)
    }
    withExtendedLifetime(scratch) {}
    return scores
  }

  /// Rows `rows` of `hidden`, one after the other, in the products' type.
  private func gathered(_ hidden: Tensor, _ rows: [Int32], _ dtype: DType) -> Tensor {
    let output = allocate([rows.count, hidden.shape[1]], hidden.dtype)
    let places = integers.tensor(rows)
    launch(
      "qlora_gather_rows", overPiecesOf: hidden.shape[1], rows: rows.count,
      [
        read(hidden), hidden.dtype.element, read(places), write(output), rows.count,
        hidden.shape[1],
      ])
    return converted(output, dtype)
  }

  private func score(
    _ input: Tensor, _ rows: [Int32], _ targets: [Int32], _ table: DeviceMatrix, vocabulary: Int,
    softCap: Float, losses: Tensor, winners: Tensor, hiddenGradient: Tensor?
  ) {
    let columns = input.shape[1]
    let logits = allocate([rows.count, vocabulary], .float32)
    products.multiply(
      matrix(input), table.across, into: writable(logits), rows: rows.count, columns: vocabulary,
      depth: columns)
    if softCap > 0 { cap(logits, at: softCap) }
    let labels = integers.tensor(targets)
    // In float32 the gradient takes the logits' place.
    let gradient = hiddenGradient.map { _ in
      input.dtype == .float32
        ? logits : allocate([rows.count, (vocabulary + 7) / 8 * 8], input.dtype)
    }
    kernels.launch(
      "qlora_softmax_loss", grid: (rows.count, 1, 1), threads: 256,
      [
        read(logits), vocabulary, read(labels), write(losses), write(winners),
        gradient.map(write) ?? 0, gradient?.dtype.element ?? 0, gradient?.shape[1] ?? 0, softCap,
      ])
    guard let gradient, let hiddenGradient else { return }
    let part = allocate([rows.count, columns], .float32)
    products.multiply(
      matrix(gradient), table, into: writable(part), rows: rows.count, columns: columns,
      depth: vocabulary)
    scatter(part, rows, into: hiddenGradient)
  }

  /// `output[rows[i]] += part[i]`.
  private func scatter(_ part: Tensor, _ rows: [Int32], into output: Tensor) {
    let columns = part.shape[1]
    let isAscending = zip(rows, rows.dropFirst()).allSatisfy(<)
    // A row that is named twice must not be added to by two threads at once.
    let pieces = isAscending ? [0..<rows.count] : rows.indices.map { $0..<$0 + 1 }
    let places = integers.tensor(rows)
    for piece in pieces {
      launch(
        "qlora_scatter_rows", overPiecesOf: columns, rows: piece.count,
        [
          read(part.rows(piece)), read(places.rows(piece)), write(output), piece.count, columns,
        ])
    }
  }
}
