// Rotary position embedding, in place: a rotation's gradient is the rotation back.

/// Cosines and sines of every position, `[positions, n]` float32, where n pairs of a head turn.
package struct RotaryTable: Sendable {
  package let cosines: Tensor
  package let sines: Tensor

  package init(cosines: Tensor, sines: Tensor) {
    self.cosines = cosines
    self.sines = sines
  }

  package var positionCount: Int { cosines.shape[0] }
}

extension Tape {
  /// Rotates every head of `input [tokens, heads·headSize]` by its token's position.
  ///
  /// Overwrites `input`'s value, which no other operation may need afterwards: true of a linear's
  /// output, whose gradient does not depend on it.
  /// Source: Su et al. 2021, "RoFormer", arXiv:2104.09864, section 3.4.2.
  package func rotary(
    _ input: Variable, headSize: Int, positions: [Int32], table: RotaryTable
  ) -> Variable {
    rotated(input) { [backend] tensor, inverse in
      backend.rotary(
        tensor, headSize: headSize, positions: positions, cosines: table.cosines,
        sines: table.sines, inverse: inverse)
    }
  }

  /// The same for pairs of neighbours (2i, 2i + 1), as image models turn them.
  package func pairRotary(
    _ input: Variable, headSize: Int, positions: [Int32], table: RotaryTable
  ) -> Variable {
    rotated(input) { [backend] tensor, inverse in
      backend.pairRotary(
        tensor, headSize: headSize, positions: positions, cosines: table.cosines,
        sines: table.sines, inverse: inverse)
    }
  }

  private func rotated(
    _ input: Variable, _ rotate: @escaping (_ tensor: Tensor, _ inverse: Bool) -> Void
  ) -> Variable {
    rotate(input.value, false)
    let result = output(input.value, of: [input])
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeOwnGradient(at: outputPlace) else { return }
      rotate(gradient, true)
      accumulate(gradient, at: inputPlace)
    }
    return result
  }
}
