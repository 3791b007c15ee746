// The order of the rows of q and k: GGUF stores the two rows of a rotary pair side by side, Hugging
// Face folders all first halves of a head before all second ones.

package struct GGUFHeadRows: Sendable {
  /// Rows of one head; even.
  package let headDim: Int
  let heads: Int

  /// nil for tensors that are stored in plain order.
  package init?(_ name: String, _ config: ModelConfig) {
    if name.contains(".q_proj.") {
      heads = config.heads
    } else if name.contains(".k_proj.") {
      heads = config.kvHeads
    } else {
      return nil
    }
    headDim = config.headDim
  }

  var count: Int { heads * headDim }

  /// Row `half·d/2 + j` of a head in Hugging Face order is row `2j + half` in GGUF.
  package func stored(_ row: Int) -> Int {
    let (head, inner) = row.quotientAndRemainder(dividingBy: headDim)
    let (half, pair) = inner.quotientAndRemainder(dividingBy: headDim / 2)
    return head * headDim + 2 * pair + half
  }

  /// Puts whole heads, row by row, into GGUF's order.
  package func permute(
    _ rows: UnsafeBufferPointer<Float>, width: Int, into output: UnsafeMutableBufferPointer<Float>
  ) {
    guard width > 0 else { return }
    for row in 0..<rows.count / width {
      let target = stored(row) * width
      for column in 0..<width { output[target + column] = rows[row * width + column] }
    }
  }
}
