// The order of the rows of queries and keys. Where llama.cpp turns neighbouring rows, GGUF stores
// the two rows of a rotary pair side by side, Hugging Face folders all first halves of a head
// before all second ones. Of GPT-NeoX's one linear, GGUF stores all queries first, folders each
// head's three.

package struct GGUFHeadRows: Sendable {
  private enum Order {
    case rotaryPairs, threeOfEachHead
  }

  /// Rows of one head; even.
  package let headDim: Int
  let heads: Int
  private let order: Order

  /// nil for tensors that are stored in plain order.
  package init?(_ name: String, _ config: ModelConfig) {
    guard let dot = name.lastIndex(of: "."),
      let (_, role, _) = config.role(of: String(name[..<dot]))
    else { return nil }
    switch role {
    case .query where config.family.permutesHeads: (heads, order) = (config.heads, .rotaryPairs)
    case .key where config.family.permutesHeads: (heads, order) = (config.kvHeads, .rotaryPairs)
    case .queryKeyValue where config.family == .gptNeoX:
      (heads, order) = (3 * config.heads, .threeOfEachHead)
    default: return nil
    }
    headDim = config.headDim
  }

  var count: Int { heads * headDim }

  /// Rows that change places among themselves only.
  package var rowMultiple: Int { order == .rotaryPairs ? headDim : count }

  /// Where GGUF has a row of Hugging Face order.
  package func stored(_ row: Int) -> Int {
    let (head, inner) = row.quotientAndRemainder(dividingBy: headDim)
    switch order {
    case .rotaryPairs:
      // Row `half·d/2 + j` of a head is row `2j + half`.
      let (half, pair) = inner.quotientAndRemainder(dividingBy: headDim / 2)
      return head * headDim + 2 * pair + half
    case .threeOfEachHead:
      return (head % 3 * (heads / 3) + head / 3) * headDim + inner
    }
  }

  /// Puts `rowMultiple` rows, or several times as many, into GGUF's order.
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
