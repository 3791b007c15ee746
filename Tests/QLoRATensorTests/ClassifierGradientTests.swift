// The head that is trained as a whole against double precision: values by their formulas, gradients
// by finite differences.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct ClassifierGradientTests {
  let tape: Tape

  init() throws { tape = Tape(backend: try CPUBackend(threads: 2)) }

  @Test(arguments: [(1, 1, 1), (3, 7, 2), (2, 33, 5), (5, 16, 3)], [false, true])
  func linear(_ sizes: (rows: Int, width: Int, outs: Int), hasBias: Bool) {
    let (rows, width, outs) = sizes
    var generator = SeededGenerator(seed: 61)
    let x = GradientInput([rows, width], tape, &generator)
    func parameter(_ shape: Shape) -> (parameter: Parameter, initial: [Float]) {
      let initial = generator.normals(shape.count)
      return (
        Parameter(
          name: "p", value: Tensor(generator.normals(shape.count), shape: shape),
          gradient: Tensor(initial, shape: shape)), initial
      )
    }
    let weight = parameter([outs, width])
    let bias = hasBias ? parameter([outs]) : nil
    let seed = generator.normals(rows * outs)
    let result = tape.linear(
      x.variable, TrainedLinear(weight: weight.parameter, bias: bias?.parameter))
    tape.accumulate(Tensor(seed, shape: [rows, outs]), into: result)
    tape.runBackward()
    func loss(_ x: [Double], _ w: [Double], _ b: [Double]) -> Double {
      dot(product(x, w, in: width).enumerated().map { $1 + b[$0 % outs] }, seed)
    }
    let w = weight.parameter.value.floats().map(Double.init)
    let b = bias?.parameter.value.floats().map(Double.init) ?? Array(repeating: 0, count: outs)
    x.expectGradient("x", on: tape) { loss($0, w, b) }
    expectSlope(
      weight.parameter.gradient.floats(), at: weight.parameter.value.floats(),
      startingFrom: weight.initial, "weight"
    ) { loss(x.doubles, $0, b) }
    if let bias {
      expectSlope(
        bias.parameter.gradient.floats(), at: bias.parameter.value.floats(),
        startingFrom: bias.initial, "bias"
      ) { loss(x.doubles, w, $0) }
    }
  }

  @Test func pickedRows() {
    var generator = SeededGenerator(seed: 62)
    let x = GradientInput([6, 3], tape, &generator)
    let rows: [Int32] = [4, 0, 5]
    let seed = generator.normals(9)
    let result = tape.pick(x.variable, rows)
    #expect(result.value.floats() == rows.flatMap { x.point[Int($0) * 3..<Int($0) * 3 + 3] })
    tape.accumulate(Tensor(seed, shape: [3, 3]), into: result)
    tape.runBackward()
    x.expectGradient("x", on: tape) { x in
      dot(rows.flatMap { x[Int($0) * 3..<Int($0) * 3 + 3] }, seed)
    }
  }

  @Test(arguments: [1, 2, 5])
  func crossEntropy(_ classes: Int) {
    var generator = SeededGenerator(seed: 63)
    let x = GradientInput([4, classes], tape, &generator)
    let targets = (0..<4).map { Int32($0 % classes) }
    func loss(_ logits: [Double]) -> Double {
      targets.enumerated().reduce(0) { sum, entry in
        let row = logits[entry.0 * classes..<(entry.0 + 1) * classes]
        return sum + log(row.reduce(0) { $0 + exp($1) })
          - row[row.startIndex + Int(entry.1)]
      }
    }
    let sum = tape.crossEntropy(x.variable, targets: targets)
    #expect(abs(sum - loss(x.doubles)) <= 1e-6)
    tape.runBackward()
    x.expectGradient("logits", on: tape, of: loss)
  }

  /// Logits that no exponential can hold.
  @Test func largeLogits() {
    let logits = Variable(Tensor([1e4, -1e4, 0, 3e38, 0, -3e38], shape: [2, 3]))
    #expect(tape.crossEntropy(logits, targets: [0, 0]) == 0)
    #expect(tape.crossEntropy(logits, targets: [1, 0]) == 2e4)
  }
}
