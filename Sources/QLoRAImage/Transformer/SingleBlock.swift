// The later blocks of FLUX.1: one stream of text and image rows, whose attention and MLP read the
// same norm and end in one linear.
// Source: Dehghani et al. 2023, "Scaling Vision Transformers to 22 Billion Parameters",
// arXiv:2302.05442, section 2, for the parallel layers.
import QLoRATensor

struct SingleBlock: Sendable {
  var modulation: LinearPlace
  var inputs: AttentionInputs
  var up: LinearPlace
  /// Of attention and MLP side by side.
  var output: LinearPlace
  var attention: AttentionLayout

  /// `[rows, hidden]` of all streams to the same.
  func forward(
    _ hidden: Variable, condition: Variable, rotation: RowRotation, _ pass: ImagePass
  ) -> Variable {
    let bounds = pass.layout.joined
    let vectors = pass.modulation(condition, modulation, 3)
    let normalized = pass.norm(hidden, vectors[0], vectors[1], bounds)
    let expanded = pass.tape.activate(pass.rows(normalized, up), nil, .geluTanh)
    let attended = pass.attend(
      inputs.project(normalized, attention, pass), attention, bounds: bounds, rotation: rotation)
    let merged = pass.rows(pass.tape.joinColumns([attended, expanded]), output)
    return pass.tape.gatedAdd(hidden, merged, gate: vectors[2], bounds: bounds)
  }
}
