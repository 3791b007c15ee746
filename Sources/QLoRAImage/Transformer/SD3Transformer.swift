// The transformer of Stable Diffusion 3 and 3.5 as forward code: joint blocks over patches with
// the waves of their places added.
// Source: Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image
// Synthesis", arXiv:2403.03206, section 4.
import QLoRATensor

struct SD3Transformer: ImageArchitecture {
  let size: ImageModelSize
  let condition: Condition
  let promptEmbedder: LinearPlace
  /// A convolution whose windows are the patches.
  let patchEmbedder: LinearPlace
  /// `[edge · edge, hidden]` float32: of a square grid; each image takes its middle.
  let places: Tensor
  let placesEdge: Int
  let joint: [JointBlock]
  let outputModulation: LinearPlace
  let output: LinearPlace

  var blockCount: Int { joint.count }
  var tableBytes: Int { places.byteCount }

  func velocity(
    _ input: ImageInput, recomputed: Int, on tape: Tape, linears: LinearTable, dtype: DType,
    dropout: DropoutContext?
  ) -> Variable {
    let layout = StreamLayout([input.imageBounds, input.promptBounds])
    let pass = ImagePass(
      tape: tape, linears: linears, dtype: dtype, dropout: dropout, layout: layout)
    let vectors = condition.forward(
      times: input.sigmas.map { 1000 * $0 }, guidances: [], pooled: input.pooled, pass)
    var image = tape.add(
      pass.rows(pass.input(input.patches), patchEmbedder), Variable(places(of: input.grids)))
    var text = pass.rows(pass.input(input.prompts), promptEmbedder)
    for (index, block) in joint.enumerated() {
      let streams = pass.block([image, text, vectors], index < recomputed) { pass, values in
        block.forward(
          text: values[1], image: values[0], condition: values[2], rotation: nil, pass)
      }
      image = streams[0]
      if streams.count > 1 { text = streams[1] }
    }
    return pass.finish(image, vectors, outputModulation, output, input.imageBounds)
  }

  private func places(of grids: [PatchGrid]) -> Tensor {
    let hidden = places.shape[1]
    let rows = grids.reduce(0) { $0 + $1.count }
    let chosen = Tensor(uninitialized: [rows, hidden], .float32)
    var at = 0
    for grid in grids {
      let top = (placesEdge - grid.rows) / 2
      let left = (placesEdge - grid.columns) / 2
      for row in top..<top + grid.rows {
        for column in left..<left + grid.columns {
          for i in 0..<hidden {
            chosen[flat: at] = places[flat: (row * placesEdge + column) * hidden + i]
            at += 1
          }
        }
      }
    }
    return chosen
  }
}
