// Gradients in the type that products round them to, on a tape whose other operations know float32
// alone.
import QLoRATensor
import TestSupport
import Testing
import TinyModel

@Suite struct ProductGradientTests {
  private static let (tokens, width, hidden) = (24, 32, 48)

  /// What else reads the gate: nothing, an operation after the product in forward, whose gradient
  /// comes first, or one before it.
  enum Reader: CaseIterable { case nobody, later, earlier }

  @Test(arguments: Reader.allCases) func otherReadersGetTheWholeGradient(reader: Reader) throws {
    let both = try BothBackends()
    let found = try gradients(both.cuda, reader)
    let expected = try gradients(both.cpu, reader)
    for (a, b) in zip(found, expected) { #expect(relativeError(a, b) <= 8.0 / 256) }
  }

  @Test func onlyProductsOfBFloat16RoundThem() throws {
    let both = try BothBackends()
    #expect(both.cuda.productGradientType(.bfloat16) == .bfloat16)
    for type in [DType.float32, .float16] {
      #expect(both.cuda.productGradientType(type) == .float32)
    }
    #expect(both.cpu.productGradientType(.bfloat16) == .float32)
  }

  /// Of the adapters of gate and up, and of the input.
  private func gradients(_ backend: any Backend, _ reader: Reader) throws -> [[Float]] {
    var generator = SeededGenerator(seed: 11)
    func floats(_ shape: Shape, _ scale: Float) -> Tensor {
      Tensor(generator.normals(shape.count, scale: scale), shape: shape)
    }
    func layer(_ name: String) throws -> AdaptedLinear {
      let builder = try backend.makeWeightBuilder(
        outFeatures: Self.hidden, inFeatures: Self.width, .dense(.bfloat16))
      let values = generator.normals(Self.hidden * Self.width, scale: 0.2)
      try values.withUnsafeBufferPointer { try builder.append($0) }
      let adapter = LowRankAdapter(
        a: Parameter(name: name + ".a", value: floats([4, Self.width], 0.2)),
        b: Parameter(name: name + ".b", value: floats([Self.hidden, 4], 0.2)), scale: 2,
        dropoutRate: 0, index: 0)
      return AdaptedLinear(name: name, weight: try builder.finish(), adapter: adapter)
    }
    let layers = [try layer("gate"), try layer("up")]
    let tape = Tape(backend: backend)
    let rows = backend.allocate([Self.tokens, Self.width], .bfloat16)
    backend.convert(floats([Self.tokens, Self.width], 1), into: rows)
    let input = Variable(rows, needsGradient: true)
    let outputs = tape.linears(input, layers, dtype: .bfloat16)
    // Adds to the gradient in place, in float32.
    let ones = Tensor([Float](repeating: 1, count: Self.hidden), shape: [Self.hidden])
    let other =
      reader == .earlier ? tape.rmsNorm(outputs[0], weight: ones, epsilon: 1e-5) : nil
    var result = tape.siluMultiply(outputs[0], outputs[1])
    if let other { result = tape.add(result, other) }
    if reader == .later { result = tape.add(result, outputs[0]) }
    tape.accumulate(floats([Self.tokens, Self.hidden], 1), into: result)
    tape.runBackward()
    let adapters = layers.compactMap(\.adapter)
    let inputGradient = try #require(tape.takeGradient(of: input))
    return [inputGradient.floats()] + adapters.flatMap { [$0.a, $0.b].map { $0.gradient.floats() } }
  }
}
