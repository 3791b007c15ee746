// The transformer of FLUX.1 as forward code: joint blocks, then single ones, with rotary places of
// two dimensions and, where it was distilled, an embedded guidance.
// Source: the class FluxTransformer2DModel of diffusers, whose folders it reads; Black Forest Labs
// 2024 published no paper of it.
import QLoRAFormats
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

struct FluxTransformer: ImageArchitecture {
  let size: ImageModelSize
  let condition: Condition
  let promptEmbedder: LinearPlace
  let patchEmbedder: LinearPlace
  let joint: [JointBlock]
  let single: [SingleBlock]
  let outputModulation: LinearPlace
  let output: LinearPlace
  /// Elements of a head that turn with the text's place, the row and the column.
  let rotaryAxes: [Int]

  var blockCount: Int { joint.count + single.count }
  var tableBytes: Int { 0 }

  func velocity(
    _ input: ImageInput, recomputed: Int, on tape: Tape, linears: LinearTable, dtype: DType,
    dropout: DropoutContext?
  ) -> Variable {
    let layout = StreamLayout([input.promptBounds, input.imageBounds])
    let pass = ImagePass(
      tape: tape, linears: linears, dtype: dtype, dropout: dropout, layout: layout)
    let vectors = condition.forward(
      times: input.sigmas.map { 1000 * $0 }, guidances: input.guidances, pooled: input.pooled,
      pass)
    let turned = rotation(input)
    var image = pass.rows(pass.input(input.patches), patchEmbedder)
    var text = pass.rows(pass.input(input.prompts), promptEmbedder)
    for (index, block) in joint.enumerated() {
      let streams = pass.block([image, text, vectors], index < recomputed) { pass, values in
        block.forward(
          text: values[1], image: values[0], condition: values[2], rotation: turned, pass)
      }
      (image, text) = (streams[0], streams[1])
    }
    var hidden = tape.join([text, image], layout)
    for (index, block) in single.enumerated() {
      hidden =
        pass.block([hidden, vectors], joint.count + index < recomputed) { pass, values in
          [block.forward(values[0], condition: values[1], rotation: turned, pass)]
        }[0]
    }
    let rows = tape.separate(hidden, layout)[1]
    return pass.finish(rows, vectors, outputModulation, output, input.imageBounds)
  }

  /// Text rows stand at the origin, patches at their row and column.
  private func rotation(_ input: ImageInput) -> RowRotation {
    let half = rotaryAxes.reduce(0, +) / 2
    let rows = input.grids.map(\.rows).max() ?? 0
    let columns = input.grids.map(\.columns).max() ?? 0
    let shape: Shape = [1 + rows * columns, half]
    let table = RotaryTable(
      cosines: Tensor(uninitialized: shape, .float32),
      sines: Tensor(uninitialized: shape, .float32))
    func fill(_ place: Int, _ ids: [Int]) {
      var at = place * half
      for (axis, width) in rotaryAxes.enumerated() {
        for i in 0..<width / 2 {
          // In double precision, as the reference has it.
          let angle = Double(ids[axis]) / pow(Self.theta, Double(2 * i) / Double(width))
          table.cosines[flat: at] = Float(cos(angle))
          table.sines[flat: at] = Float(sin(angle))
          at += 1
        }
      }
    }
    fill(0, [0, 0, 0])
    for row in 0..<rows {
      for column in 0..<columns { fill(1 + row * columns + column, [0, row, column]) }
    }
    var positions: [Int32] = []
    for (length, grid) in zip(input.promptLengths, input.grids) {
      positions += Array(repeating: 0, count: length)
      for row in 0..<grid.rows {
        let first = 1 + row * columns
        positions += (first..<first + grid.columns).map { Int32($0) }
      }
    }
    return RowRotation(positions: positions, table: table)
  }

  private static let theta = 10_000.0
}

extension ImagePass {
  /// A block, kept whole or computed again in backward.
  func block(
    _ inputs: [Variable], _ recomputing: Bool,
    _ body: @escaping (ImagePass, [Variable]) -> [Variable]
  ) -> [Variable] {
    guard recomputing else { return body(self, inputs) }
    return tape.checkpoint(inputs) { tape, values in body(on(tape), values) }
  }

  /// The last norm, whose scale comes before its shift, and the last linear.
  func finish(
    _ rows: Variable, _ condition: Variable, _ modulation: LinearPlace, _ output: LinearPlace,
    _ bounds: [Int]
  ) -> Variable {
    let vectors = self.modulation(condition, modulation, 2)
    return self.rows(norm(rows, vectors[1], vectors[0], bounds), output)
  }
}
