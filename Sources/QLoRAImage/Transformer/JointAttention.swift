// Attention over the rows of text and image together, or of one stream alone.
// Source: Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206, section 4.
import QLoRATensor

/// Where the queries and keys of a stream come from, and how they are normalised.
struct AttentionInputs: Sendable {
  var query: LinearPlace
  var key: LinearPlace
  var value: LinearPlace
  /// `[headSize]` float32; nil where the model has no norms here.
  var queryNorm: Tensor?
  var keyNorm: Tensor?

  /// Queries, keys and values `[rows, heads · headSize]`.
  func project(_ input: Variable, _ layout: AttentionLayout, _ pass: ImagePass) -> [Variable] {
    var parts = pass.rows(input, [query, key, value])
    parts[0] = normalized(parts[0], queryNorm, layout, pass.tape)
    parts[1] = normalized(parts[1], keyNorm, layout, pass.tape)
    return parts
  }

  /// RMS norm of every head on its own.
  private func normalized(
    _ rows: Variable, _ weight: Tensor?, _ layout: AttentionLayout, _ tape: Tape
  ) -> Variable {
    guard let weight else { return rows }
    let shape = rows.value.shape
    let heads = tape.reshape(rows, [shape.count / layout.headSize, layout.headSize])
    return tape.reshape(tape.rmsNorm(heads, weight: weight, epsilon: Self.epsilon), shape)
  }

  /// Both families have the same in every block.
  private static let epsilon: Float = 1e-6
}

/// Turns queries and keys by the places of their rows; the table has a row for each place.
struct RowRotation {
  var positions: [Int32]
  var table: RotaryTable
}

extension ImagePass {
  /// - Parameter parts: queries, keys and values of rows with these `bounds`.
  func attend(
    _ parts: [Variable], _ layout: AttentionLayout, bounds: [Int], rotation: RowRotation?
  ) -> Variable {
    let turned = parts[..<2].map { rows in
      guard let rotation else { return rows }
      return tape.pairRotary(
        rows, headSize: layout.headSize, positions: rotation.positions, table: rotation.table)
    }
    return tape.attention(
      query: turned[0], key: turned[1], value: parts[2], layout: layout, bounds: bounds)
  }

  /// The same over several streams, each with its own inputs.
  func attend(
    _ streams: [[Variable]], _ attention: AttentionLayout, rotation: RowRotation?
  ) -> [Variable] {
    let joined = (0..<3).map { part in tape.join(streams.map { $0[part] }, layout) }
    let attended = attend(joined, attention, bounds: layout.joined, rotation: rotation)
    return tape.separate(attended, layout)
  }
}
