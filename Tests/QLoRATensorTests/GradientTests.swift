// Gradients of the operations against finite differences of forwards written down again in double
// precision, each on top of a gradient that exists already. Attention has its oracle in
// QLoRACPUTests.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct GradientTests {
  let tape: Tape

  init() throws { tape = Tape(backend: try CPUBackend(threads: 2)) }

  private typealias Input = GradientInput

  private func expectGradient(
    _ input: Input, _ name: String, sourceLocation: SourceLocation = #_sourceLocation,
    of loss: ([Double]) -> Double
  ) {
    input.expectGradient(name, on: tape, sourceLocation: sourceLocation, of: loss)
  }

  @Test(arguments: [0, 1, 3])
  func rmsNorm(_ tokens: Int) {
    var generator = SeededGenerator(seed: 30)
    let hidden = 6
    let x = Input([tokens, hidden], tape, &generator)
    let weight = generator.normals(hidden)
    let seed = generator.normals(tokens * hidden)
    let result = tape.rmsNorm(
      x.variable, weight: Tensor(weight, shape: [hidden]), epsilon: 0.01)
    tape.accumulate(Tensor(seed, shape: [tokens, hidden]), into: result)
    tape.runBackward()
    expectGradient(x, "x") { values in
      let normalized = stride(from: 0, to: values.count, by: hidden).flatMap { start in
        let row = values[start..<start + hidden]
        let mean = row.reduce(0) { $0 + $1 * $1 } / Double(hidden)
        return zip(row, weight).map { $0 / (mean + Double(Float(0.01))).squareRoot() * Double($1) }
      }
      return dot(normalized, seed)
    }
  }

  @Test(arguments: [0, 1, 3])
  func siluMultiply(_ tokens: Int) {
    var generator = SeededGenerator(seed: 31)
    let shape: Shape = [tokens, 5]
    let (gate, up) = (Input(shape, tape, &generator), Input(shape, tape, &generator))
    let seed = generator.normals(shape.count)
    let result = tape.activate(gate.variable, up.variable, .silu)
    tape.accumulate(Tensor(seed, shape: shape), into: result)
    tape.runBackward()
    func loss(_ gate: [Double], _ up: [Double]) -> Double {
      dot(zip(gate, up).map { $0 / (1 + exp(-$0)) * $1 }, seed)
    }
    expectGradient(gate, "gate") { loss($0, up.point.map { Double($0) }) }
    expectGradient(up, "up") { loss(gate.point.map { Double($0) }, $0) }
  }

  @Test func rotary() {
    var generator = SeededGenerator(seed: 32)
    let (positions, headSize, heads) = ([0, 1, 5] as [Int32], 4, 2)
    let angles = (0..<6).flatMap { position in [1.0, 0.1].map { Double(position) * $0 } }
    let table = RotaryTable(
      cosines: Tensor(angles.map { Float(cos($0)) }, shape: [6, 2]),
      sines: Tensor(angles.map { Float(sin($0)) }, shape: [6, 2]))
    let shape: Shape = [positions.count, heads * headSize]
    let x = Input(shape, tape, &generator)
    let seed = generator.normals(shape.count)
    let result = tape.rotary(x.variable, headSize: headSize, positions: positions, table: table)
    tape.accumulate(Tensor(seed, shape: shape), into: result)
    tape.runBackward()
    expectGradient(x, "x") { values in
      var turned = values
      for (token, position) in positions.enumerated() {
        for pair in 0..<heads * headSize / 2 {
          let angle = angles[Int(position) * 2 + pair % 2]
          let low = token * heads * headSize + pair / 2 * headSize + pair % 2
          turned[low] = values[low] * cos(angle) - values[low + 2] * sin(angle)
          turned[low + 2] = values[low + 2] * cos(angle) + values[low] * sin(angle)
        }
      }
      return dot(turned, seed)
    }
  }

  /// Two layers that read the same input, one of them with an adapter.
  @Test(arguments: [1, 3, 20])
  func linears(_ tokens: Int) throws {
    var generator = SeededGenerator(seed: 33)
    let (features, rank, outs) = (5, 2, [7, 3])
    let x = Input([tokens, features], tape, &generator)
    let weights = outs.map { generator.normals($0 * features) }
    let a = Parameter(
      name: "a", value: Tensor(generator.normals(rank * features), shape: [rank, features]))
    let b = Parameter(
      name: "b", value: Tensor(generator.normals(outs[0] * rank), shape: [outs[0], rank]))
    let initials = [a, b].map { generator.normals($0.value.count) }
    for (parameter, initial) in zip([a, b], initials) {
      parameter.gradient.withMutableElements(Float.self) { _ = $0.update(fromContentsOf: initial) }
    }
    let adapter = LowRankAdapter(a: a, b: b, scale: 0.5, dropoutRate: 0, index: 0)
    let layers = try zip(outs, weights).enumerated().map { index, layer in
      AdaptedLinear(
        name: "layer \(index)",
        weight: try tape.backend.denseWeight(layer.1, shape: [layer.0, features]),
        adapter: index == 0 ? adapter : nil)
    }
    let seeds = outs.map { generator.normals(tokens * $0) }
    let results = tape.linears(x.variable, layers, dtype: .float32)
    for (index, result) in results.enumerated() {
      tape.accumulate(Tensor(seeds[index], shape: [tokens, outs[index]]), into: result)
    }
    tape.runBackward()

    let frozen = weights.map { $0.map { Double($0) } }
    let (aPoint, bPoint) = (a.value.floats(), b.value.floats())
    func loss(_ x: [Double], _ a: [Double], _ b: [Double]) -> Double {
      let branch = product(product(x, a, in: features), b, in: rank)
      let first = zip(product(x, frozen[0], in: features), branch).map { $0 + 0.5 * $1 }
      return dot(first, seeds[0]) + dot(product(x, frozen[1], in: features), seeds[1])
    }
    let xExact = x.point.map { Double($0) }
    let (aExact, bExact) = (aPoint.map { Double($0) }, bPoint.map { Double($0) })
    expectGradient(x, "x") { loss($0, aExact, bExact) }
    expectSlope(a.gradient.floats(), at: aPoint, startingFrom: initials[0], "A") {
      loss(xExact, $0, bExact)
    }
    expectSlope(b.gradient.floats(), at: bPoint, startingFrom: initials[1], "B") {
      loss(xExact, aExact, $0)
    }
  }

  @Test func linearCrossEntropy() throws {
    var generator = SeededGenerator(seed: 34)
    let (tokens, hidden, vocabulary) = (4, 6, 9)
    let x = Input([tokens, hidden], tape, &generator)
    let head = generator.normals(vocabulary * hidden)
    let (rows, targets) = ([0, 2] as [Int32], [8, 3] as [Int32])
    let sum = tape.linearCrossEntropy(
      x.variable, rows: rows, targets: targets,
      head: try tape.backend.denseWeight(head, shape: [vocabulary, hidden]))
    tape.runBackward()
    func loss(_ values: [Double]) -> Double {
      let logits = product(values, head.map { Double($0) }, in: hidden)
      return zip(rows, targets).reduce(0.0) { sum, label in
        let row = logits[Int(label.0) * vocabulary..<(Int(label.0) + 1) * vocabulary]
        return sum + log(row.reduce(0) { $0 + exp($1) }) - row[row.startIndex + Int(label.1)]
      }
    }
    #expect(abs(sum - loss(x.point.map { Double($0) })) <= 1e-5 * sum)
    expectGradient(x, "hidden", of: loss)
  }
}
