// An activation over linears as one operation: the bits of both in a row, which other suites hold
// against finite differences.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct ActivatedLinearTests {
  private static let (tokens, width, hidden, rank) = (5, 8, 12, 2)

  struct Shape: Sendable, CustomTestStringConvertible {
    var activation: Activation
    var isGated: Bool
    var testDescription: String { "\(activation)\(isGated ? ", gated" : "")" }
  }

  @Test(
    arguments: [
      Shape(activation: .silu, isGated: true), Shape(activation: .gelu, isGated: true),
      Shape(activation: .geluTanh, isGated: false), Shape(activation: .relu, isGated: false),
    ], [DType.float32, .bfloat16])
  func equalsItsParts(shape: Shape, dtype: DType) throws {
    let whole = try run(shape, dtype) { tape, input, layers in
      tape.activatedLinears(input, layers, shape.activation, dtype: dtype, dropout: Self.dropout)
    }
    let parts = try run(shape, dtype) { tape, input, layers in
      let outputs = tape.linears(input, layers, dtype: dtype, dropout: Self.dropout)
      return tape.activate(outputs[0], shape.isGated ? outputs[1] : nil, shape.activation)
    }
    #expect(whole == parts)
    #expect(whole.allSatisfy { $0.contains { $0 != 0 } })
  }

  private static let dropout = DropoutContext(seed: 3, stream: 1)

  /// The value, and the gradients of the input and of all adapters, each on top of another.
  private func run(
    _ shape: Shape, _ dtype: DType, _ body: (Tape, Variable, [AdaptedLinear]) -> Variable
  ) throws -> [[Float]] {
    var generator = SeededGenerator(seed: 21)
    let tape = Tape(backend: try CPUBackend(threads: 1))
    let layers = try (0..<(shape.isGated ? 2 : 1)).map { index in
      AdaptedLinear(
        name: "layer \(index)",
        weight: try tape.backend.denseWeight(
          generator.normals(Self.hidden * Self.width), shape: [Self.hidden, Self.width]),
        adapter: adapter(index, &generator))
    }
    let rows = tape.backend.allocate([Self.tokens, Self.width], dtype)
    tape.backend.convert(
      Tensor(generator.normals(rows.count), shape: rows.shape), into: rows)
    let input = Variable(rows, needsGradient: true)
    tape.accumulate(Tensor(generator.normals(rows.count), shape: rows.shape), into: input)
    let result = body(tape, input, layers)
    tape.accumulate(
      Tensor(generator.normals(result.value.count), shape: result.value.shape), into: result)
    tape.runBackward()
    let adapters = layers.compactMap(\.adapter)
    let value = Tensor(uninitialized: result.value.shape, .float32)
    tape.backend.convert(result.value, into: value)
    return [value.floats(), try #require(tape.takeGradient(of: input)).floats()]
      + adapters.flatMap { [$0.a, $0.b].map { $0.gradient.floats() } }
  }

  private func adapter(_ index: Int, _ generator: inout SeededGenerator) -> LowRankAdapter {
    func parameter(_ name: String, _ shape: QLoRATensor.Shape) -> Parameter {
      Parameter(name: name, value: Tensor(generator.normals(shape.count), shape: shape))
    }
    return LowRankAdapter(
      a: parameter("a", [Self.rank, Self.width]), b: parameter("b", [Self.hidden, Self.rank]),
      scale: 2, dropoutRate: index == 0 ? 0.3 : 0, index: index)
  }
}
