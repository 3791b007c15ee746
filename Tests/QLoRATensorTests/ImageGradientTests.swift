// Gradients of the operations of image models against finite differences, as in GradientTests.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct ImageGradientTests {
  let tape: Tape

  init() throws { tape = Tape(backend: try CPUBackend(threads: 2)) }

  /// Row by row: less its mean, over its deviation.
  private func normalized(_ x: [Double], _ width: Int, _ epsilon: Double) -> [Double] {
    stride(from: 0, to: x.count, by: width).flatMap { start in
      let row = x[start..<start + width]
      let mean = row.reduce(0, +) / Double(width)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      return row.map { ($0 - mean) / (variance + epsilon).squareRoot() }
    }
  }

  /// The sample of each row.
  private func samples(_ bounds: [Int]) -> [Int] {
    zip(bounds, bounds.dropFirst()).enumerated().flatMap { sample, bound in
      Array(repeating: sample, count: bound.1 - bound.0)
    }
  }

  @Test(arguments: [[0, 0], [0, 1], [0, 2, 2, 5]])
  func modulatedNorm(_ bounds: [Int]) {
    var generator = SeededGenerator(seed: 50)
    let (width, count) = (19, bounds.count - 1)
    let x = GradientInput([bounds[count], width], tape, &generator)
    let shift = GradientInput([count, width], tape, &generator)
    let scale = GradientInput([count, width], tape, &generator)
    let seed = generator.normals(x.point.count)
    let result = tape.modulatedNorm(
      x.variable, shift: shift.variable, scale: scale.variable, bounds: bounds, epsilon: 0.01)
    tape.accumulate(Tensor(seed, shape: [bounds[count], width]), into: result)
    tape.runBackward()
    let sample = samples(bounds)
    func loss(_ x: [Double], _ shift: [Double], _ scale: [Double]) -> Double {
      let n = normalized(x, width, Double(Float(0.01)))
      return dot(
        n.indices.map {
          let vector = sample[$0 / width] * width + $0 % width
          return n[$0] * (1 + scale[vector]) + shift[vector]
        }, seed)
    }
    x.expectGradient("x", on: tape) { loss($0, shift.doubles, scale.doubles) }
    shift.expectGradient("shift", on: tape) { loss(x.doubles, $0, scale.doubles) }
    scale.expectGradient("scale", on: tape) { loss(x.doubles, shift.doubles, $0) }
  }

  @Test(arguments: [[0, 0], [0, 1], [0, 2, 2, 5]])
  func gatedAdd(_ bounds: [Int]) {
    var generator = SeededGenerator(seed: 51)
    let (width, count) = (7, bounds.count - 1)
    let shape: Shape = [bounds[count], width]
    let residual = GradientInput(shape, tape, &generator)
    let values = GradientInput(shape, tape, &generator)
    let gate = GradientInput([count, width], tape, &generator)
    let seed = generator.normals(shape.count)
    let result = tape.gatedAdd(
      residual.variable, values.variable, gate: gate.variable, bounds: bounds)
    tape.accumulate(Tensor(seed, shape: shape), into: result)
    tape.runBackward()
    let sample = samples(bounds)
    func loss(_ residual: [Double], _ values: [Double], _ gate: [Double]) -> Double {
      dot(
        residual.indices.map {
          residual[$0] + gate[sample[$0 / width] * width + $0 % width] * values[$0]
        }, seed)
    }
    residual.expectGradient("residual", on: tape) { loss($0, values.doubles, gate.doubles) }
    values.expectGradient("values", on: tape) { loss(residual.doubles, $0, gate.doubles) }
    gate.expectGradient("gate", on: tape) { loss(residual.doubles, values.doubles, $0) }
  }

  @Test(arguments: ElementFunction.allCases, [0, 1, 33])
  func function(_ function: ElementFunction, _ count: Int) {
    var generator = SeededGenerator(seed: 52)
    let x = GradientInput([count, 1], tape, &generator)
    let seed = generator.normals(count)
    let result = tape.apply(function, to: x.variable)
    tape.accumulate(Tensor(seed, shape: [count, 1]), into: result)
    tape.runBackward()
    x.expectGradient("x", on: tape) { values in
      dot(
        values.map { x in
          switch function {
          case .geluSigmoid: x / (1 + exp(-1.702 * x))
          case .silu: x / (1 + exp(-x))
          case .tanh: tanh(x)
          case .relu: max(x, 0)
          }
        }, seed)
    }
  }

  @Test func pairRotary() {
    var generator = SeededGenerator(seed: 53)
    let (positions, headSize, heads) = ([0, 1, 5] as [Int32], 4, 2)
    let angles = (0..<6).flatMap { position in [1.0, 0.1].map { Double(position) * $0 } }
    let table = RotaryTable(
      cosines: Tensor(angles.map { Float(cos($0)) }, shape: [6, 2]),
      sines: Tensor(angles.map { Float(sin($0)) }, shape: [6, 2]))
    let shape: Shape = [3, heads * headSize]
    let x = GradientInput(shape, tape, &generator)
    let seed = generator.normals(shape.count)
    let result = tape.pairRotary(
      x.variable, headSize: headSize, positions: positions, table: table)
    tape.accumulate(Tensor(seed, shape: shape), into: result)
    tape.runBackward()
    x.expectGradient("x", on: tape) { values in
      var turned = values
      for pair in 0..<values.count / 2 {
        let row = pair / (heads * headSize / 2)
        let angle = angles[Int(positions[row]) * 2 + pair % 2]
        let (a, b) = (values[2 * pair], values[2 * pair + 1])
        turned[2 * pair] = a * cos(angle) - b * sin(angle)
        turned[2 * pair + 1] = b * cos(angle) + a * sin(angle)
      }
      return dot(turned, seed)
    }
  }

  @Test func joinedStreamsComeApartAgain() {
    var generator = SeededGenerator(seed: 54)
    let layout = StreamLayout([[0, 2, 3], [0, 1, 4]])
    let text = GradientInput([3, 5], tape, &generator)
    let image = GradientInput([4, 5], tape, &generator)
    let joined = tape.join([text.variable, image.variable], layout)
    let rows = joined.value.floats()
    #expect(Array(rows[..<10]) == Array(text.point[..<10]))
    #expect(Array(rows[10..<15]) == Array(image.point[..<5]))
    #expect(Array(rows[15..<20]) == Array(text.point[10...]))
    let parts = tape.separate(joined, layout)
    #expect(parts[0].value.floats() == text.point && parts[1].value.floats() == image.point)
    // Nobody uses the text: its gradient is zero.
    let seed = generator.normals(20)
    tape.accumulate(Tensor(seed, shape: [4, 5]), into: parts[1])
    tape.runBackward()
    text.expectGradient("text", on: tape) { _ in 0 }
    image.expectGradient("image", on: tape) { dot($0, seed) }
  }

  @Test func columnsAreJoined() {
    var generator = SeededGenerator(seed: 55)
    let left = GradientInput([3, 1], tape, &generator)
    let right = GradientInput([3, 3], tape, &generator)
    let joined = tape.joinColumns([left.variable, right.variable])
    let seed = generator.normals(12)
    tape.accumulate(Tensor(seed, shape: [6, 2]), into: tape.reshape(joined, [6, 2]))
    tape.runBackward()
    func loss(_ left: [Double], _ right: [Double]) -> Double {
      let rows = (0..<3).map { row -> [Double] in
        [left[row]] + Array(right[row * 3..<row * 3 + 3])
      }
      return dot(Array(rows.joined()), seed)
    }
    left.expectGradient("left", on: tape) { loss($0, right.doubles) }
    right.expectGradient("right", on: tape) { loss(left.doubles, $0) }
  }

  @Test(arguments: [[0, 1], [0, 2, 5]])
  func squaredError(_ bounds: [Int]) {
    var generator = SeededGenerator(seed: 56)
    let shape: Shape = [bounds[bounds.count - 1], 3]
    let x = GradientInput(shape, tape, &generator)
    let target = generator.normals(shape.count)
    let weights: [Float] = (1..<bounds.count).map { 0.5 * Float($0) }
    func loss(_ values: [Double]) -> Double {
      zip(bounds, bounds.dropFirst()).enumerated().reduce(0) { sum, sample in
        let range = sample.element.0 * 3..<sample.element.1 * 3
        let errors = range.map { values[$0] - Double(target[$0]) }
        return sum + Double(weights[sample.offset])
          * errors.reduce(0) { $0 + $1 * $1 } / Double(range.count)
      }
    }
    let sum = tape.squaredError(
      x.variable, target: Tensor(target, shape: shape), weights: weights, bounds: bounds)
    #expect(abs(sum - loss(x.doubles)) < 1e-6)
    x.expectGradient("x", on: tape, of: loss)
  }

  /// The silent first run, the second run and the gradients of more than one input.
  @Test func aCheckpointOfTwoInputsChangesNothing() {
    func gradients(_ checkpointed: Bool) -> [[Float]] {
      var generator = SeededGenerator(seed: 57)
      let inputs = [
        GradientInput([4, 5], tape, &generator), GradientInput([1, 5], tape, &generator),
      ]
      let body = { (tape: Tape, inputs: [Variable]) -> [Variable] in
        let gated = tape.gatedAdd(inputs[0], inputs[0], gate: inputs[1], bounds: [0, 4])
        return [tape.apply(.silu, to: gated)]
      }
      let variables = inputs.map(\.variable)
      let result =
        checkpointed ? tape.checkpoint(variables, body) : body(tape, variables)
      tape.accumulate(Tensor(generator.normals(20), shape: [4, 5]), into: result[0])
      tape.runBackward()
      return variables.map { tape.takeGradient(of: $0)?.floats() ?? [] }
    }
    #expect(gradients(true) == gradients(false))
  }
}
