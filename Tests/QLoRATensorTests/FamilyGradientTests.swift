// Gradients of what other families than Llama need, against finite differences of forwards written
// down again in double precision, each on top of a gradient that exists already.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct FamilyGradientTests {
  let tape: Tape

  init() throws { tape = Tape(backend: try CPUBackend(threads: 2)) }

  private func input(_ shape: Shape, _ generator: inout SeededGenerator) -> GradientInput {
    GradientInput(shape, tape, &generator)
  }

  private func expectGradient(
    _ input: GradientInput, _ name: String,
    sourceLocation: SourceLocation = #_sourceLocation, of loss: ([Double]) -> Double
  ) {
    expectSlope(
      tape.takeGradient(of: input.variable)?.floats() ?? [], at: input.point,
      startingFrom: input.initial, name, sourceLocation: sourceLocation, of: loss)
  }

  @Test(arguments: [0, 1, 3])
  func layerNorm(_ tokens: Int) {
    var generator = SeededGenerator(seed: 50)
    let hidden = 6
    let x = input([tokens, hidden], &generator)
    let (weight, bias) = (generator.normals(hidden), generator.normals(hidden))
    let seed = generator.normals(tokens * hidden)
    let result = tape.layerNorm(
      x.variable, weight: Tensor(weight, shape: [hidden]), bias: Tensor(bias, shape: [hidden]),
      epsilon: 0.01)
    tape.accumulate(Tensor(seed, shape: [tokens, hidden]), into: result)
    tape.runBackward()
    expectGradient(x, "x") { values in
      let normalized = stride(from: 0, to: values.count, by: hidden).flatMap { start in
        let row = values[start..<start + hidden]
        let mean = row.reduce(0, +) / Double(hidden)
        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(hidden)
        return zip(row, weight).map {
          ($0 - mean) / (variance + Double(Float(0.01))).squareRoot() * Double($1)
        }
      }
      return dot(normalized, seed)
    }
  }

  @Test(arguments: [Activation.gelu, .geluTanh], [true, false])
  func activations(_ activation: Activation, isGated: Bool) {
    var generator = SeededGenerator(seed: 51)
    let shape: Shape = [3, 5]
    let (gate, up) = (input(shape, &generator), input(shape, &generator))
    let seed = generator.normals(shape.count)
    let result = tape.activate(gate.variable, isGated ? up.variable : nil, activation)
    tape.accumulate(Tensor(seed, shape: shape), into: result)
    tape.runBackward()
    func value(_ x: Double) -> Double {
      if activation == .gelu { return x * erfc(-x / 2.0.squareRoot()) / 2 }
      return x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
    func loss(_ gate: [Double], _ up: [Double]) -> Double {
      dot(zip(gate, up).map { value($0) * (isGated ? $1 : 1) }, seed)
    }
    expectGradient(gate, "gate") { loss($0, up.point.map { Double($0) }) }
    if isGated { expectGradient(up, "up") { loss(gate.point.map { Double($0) }, $0) } }
  }

  /// Parts of each head's row, scaled.
  @Test func splitAndScaled() {
    var generator = SeededGenerator(seed: 52)
    let widths = [2, 1, 3]
    let x = input([3, 12], &generator)
    let parts = tape.split(x.variable, widths: widths)
    #expect(parts.map(\.value.shape) == [[3, 4], [3, 2], [3, 6]])
    let seeds = parts.map { generator.normals($0.value.count) }
    for (part, seed) in zip(parts, seeds) {
      tape.accumulate(Tensor(seed, shape: part.value.shape), into: tape.scaled(part, by: -2.5))
    }
    tape.runBackward()
    expectGradient(x, "x") { values in
      var sum = 0.0
      for (index, value) in values.enumerated() {
        let (row, column) = (index / 6, index % 6)
        let part = column < 2 ? 0 : column < 3 ? 1 : 2
        let inner = column - [0, 2, 3][part]
        sum += -2.5 * value * Double(seeds[part][row * widths[part] + inner])
      }
      return sum
    }
  }

  @Test func cappedCrossEntropy() throws {
    var generator = SeededGenerator(seed: 53)
    let (tokens, hidden, vocabulary, cap) = (4, 6, 9, 1.25)
    let x = input([tokens, hidden], &generator)
    let head = generator.normals(vocabulary * hidden)
    let (rows, targets) = ([0, 2] as [Int32], [8, 3] as [Int32])
    let sum = tape.linearCrossEntropy(
      x.variable, rows: rows, targets: targets,
      head: try tape.backend.denseWeight(head, shape: [vocabulary, hidden]), softCap: Float(cap))
    tape.runBackward()
    func loss(_ values: [Double]) -> Double {
      let logits = product(values, head.map { Double($0) }, in: hidden)
        .map { cap * tanh($0 / cap) }
      return zip(rows, targets).reduce(0.0) { sum, label in
        let row = logits[Int(label.0) * vocabulary..<(Int(label.0) + 1) * vocabulary]
        return sum + log(row.reduce(0) { $0 + exp($1) }) - row[row.startIndex + Int(label.1)]
      }
    }
    #expect(abs(sum - loss(x.point.map { Double($0) })) <= 1e-5 * sum)
    expectGradient(x, "hidden", of: loss)
  }

  /// Routing by logits, a linear of each expert, and the weighted sum.
  @Test(arguments: [true, false])
  func experts(isNormalized: Bool) throws {
    var generator = SeededGenerator(seed: 54)
    let (tokens, width, out, count, chosen) = (5, 4, 3, 4, 2)
    let (x, z) = (input([tokens, width], &generator), input([tokens, count], &generator))
    let weights = (0..<count).map { _ in generator.normals(out * width) }
    let layers = try weights.enumerated().map { index, weight in
      AdaptedLinear(
        name: "\(index)", weight: try tape.backend.denseWeight(weight, shape: [out, width]))
    }
    let routing = tape.route(z.variable, chosen: chosen, isNormalized: isNormalized)
    let rows = tape.expertLinears(
      tape.gather(x.variable, routing), routing.ranges, [layers], dtype: .float32)
    let result = tape.combine(rows[0], routing)
    let seed = generator.normals(tokens * out)
    tape.accumulate(Tensor(seed, shape: [tokens, out]), into: result)
    tape.runBackward()
    func loss(_ x: [Double], _ z: [Double]) -> Double {
      var sum = 0.0
      for token in 0..<tokens {
        let logits = Array(z[token * count..<(token + 1) * count])
        let best = logits.indices.sorted { logits[$0] > logits[$1] }.prefix(chosen)
        let total = (isNormalized ? Array(best) : Array(logits.indices))
          .reduce(0) { $0 + exp(logits[$1]) }
        for expert in best {
          let row = Array(x[token * width..<(token + 1) * width])
          let values = product(row, weights[expert].map { Double($0) }, in: width)
          for (index, value) in values.enumerated() {
            sum += exp(logits[expert]) / total * value * Double(seed[token * out + index])
          }
        }
      }
      return sum
    }
    let (xPoint, zPoint) = (x.point.map { Double($0) }, z.point.map { Double($0) })
    #expect(abs(dot(result.value.floats().map { Double($0) }, seed) - loss(xPoint, zPoint)) < 1e-4)
    expectGradient(x, "x") { loss($0, zPoint) }
    expectGradient(z, "logits") { loss(xPoint, $0) }
  }
}
