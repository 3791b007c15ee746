// The linears of a model in one list: blocks hold places in it, so that adapters can be put on all
// alike.
import QLoRATensor

/// A place in a `LinearTable`.
struct LinearPlace: Hashable, Sendable {
  fileprivate let index: Int
}

struct LinearTable {
  private(set) var linears: [AdaptedLinear] = []

  mutating func add(_ linear: AdaptedLinear) -> LinearPlace {
    linears.append(linear)
    return LinearPlace(index: linears.count - 1)
  }

  subscript(place: LinearPlace) -> AdaptedLinear { linears[place.index] }

  /// Puts on each linear the adapter that `choose` gives for it, or none.
  mutating func attach(
    _ choose: (AdaptedLinear) throws -> LowRankAdapter?
  ) rethrows {
    for index in linears.indices { linears[index].adapter = try choose(linears[index]) }
  }
}

/// What blocks need besides their inputs: the tape, the linears, and how rows lie.
struct ImagePass {
  let tape: Tape
  let linears: LinearTable
  /// Of rows; vectors of samples are float32.
  let dtype: DType
  /// nil = none (evaluation, generation).
  let dropout: DropoutContext?
  let layout: StreamLayout

  /// Rows that come from outside, in the type of the others.
  func input(_ rows: Tensor) -> Variable {
    if rows.dtype == dtype { return Variable(rows) }
    let converted = tape.backend.allocate(rows.shape, dtype)
    tape.backend.convert(rows, into: converted)
    return Variable(converted)
  }

  /// Several linears over the same rows `[rows, in]`.
  func rows(_ input: Variable, _ places: [LinearPlace]) -> [Variable] {
    tape.linears(input, places.map { linears[$0] }, dtype: dtype, dropout: dropout)
  }

  func rows(_ input: Variable, _ place: LinearPlace) -> Variable { rows(input, [place])[0] }

  /// A linear over the vectors of samples `[samples, in]`, float32.
  func vectors(_ input: Variable, _ place: LinearPlace) -> Variable {
    tape.linears(input, [linears[place]], dtype: .float32, dropout: dropout)[0]
  }

  /// The vectors of samples that one linear makes of their condition for `count` uses.
  func modulation(_ condition: Variable, _ place: LinearPlace, _ count: Int) -> [Variable] {
    let all = vectors(condition, place)
    return tape.split(
      all, widths: Array(repeating: all.value.shape[1] / count, count: count))
  }

  /// The same pass on another tape, such as a checkpoint's.
  func on(_ tape: Tape) -> ImagePass {
    ImagePass(tape: tape, linears: linears, dtype: dtype, dropout: dropout, layout: layout)
  }
}
