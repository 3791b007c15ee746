// Recomputation changes memory only: every output and gradient bit is that of the plain pass.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct CheckpointTests {
  /// A residual block with an adapter and dropout over `hidden` features.
  private final class Block: Sendable {
    static let hidden = 16
    let layer: AdaptedLinear
    let norm: Tensor
    let adapter: LowRankAdapter

    init(_ backend: any Backend, _ generator: inout SeededGenerator) throws {
      let (hidden, rank) = (Self.hidden, 4)
      norm = Tensor(generator.normals(hidden), shape: [hidden])
      adapter = LowRankAdapter(
        a: Parameter(
          name: "a", value: Tensor(generator.normals(rank * hidden), shape: [rank, hidden])),
        b: Parameter(
          name: "b", value: Tensor(generator.normals(hidden * rank), shape: [hidden, rank])),
        scale: 0.5, dropoutRate: 0.25, index: 3)
      let weight = try backend.denseWeight(
        generator.normals(hidden * hidden, scale: 0.2), shape: [hidden, hidden])
      layer = AdaptedLinear(name: "layer", weight: weight, adapter: adapter)
    }

    func callAsFunction(_ tape: Tape, _ input: Variable) -> Variable {
      let normalized = tape.rmsNorm(input, weight: norm, epsilon: 1e-5)
      let outputs = tape.linears(
        normalized, [layer], dtype: .float32, dropout: DropoutContext(seed: 1, stream: 2))
      return tape.add(input, tape.activate(outputs[0], normalized, .silu))
    }
  }

  private struct Outcome: Equatable {
    var output: [Float]
    var inputGradient: [Float]?
    var parameterGradients: [[Float]]
  }

  private func run(
    checkpoints: Bool, inputNeedsGradient: Bool
  ) throws -> (outcome: Outcome, calls: [Int]) {
    let backend = try CPUBackend(threads: 2)
    var generator = SeededGenerator(seed: 21)
    let blocks = try (0..<2).map { _ in try Block(backend, &generator) }
    let shape: Shape = [5, Block.hidden]
    let input = Variable(
      Tensor(generator.normals(shape.count), shape: shape), needsGradient: inputNeedsGradient)
    let seed = Tensor(generator.normals(shape.count), shape: shape)
    let tape = Tape(backend: backend)
    var calls = [0, 0]
    var current = input
    for (index, block) in blocks.enumerated() {
      let body = { (tape: Tape, input: Variable) in
        calls[index] += 1
        return block(tape, input)
      }
      current = checkpoints ? tape.checkpoint(current, body) : body(tape, current)
    }
    let output = current.value.floats()
    tape.accumulate(seed, into: current)
    tape.runBackward()
    let parameters = blocks.flatMap { [$0.adapter.a, $0.adapter.b] }
    let outcome = Outcome(
      output: output, inputGradient: tape.takeGradient(of: input)?.floats(),
      parameterGradients: parameters.map { $0.gradient.floats() })
    return (outcome, calls)
  }

  @Test(arguments: [true, false])
  func recomputingGivesTheSameBits(_ inputNeedsGradient: Bool) throws {
    let plain = try run(checkpoints: false, inputNeedsGradient: inputNeedsGradient)
    let again = try run(checkpoints: true, inputNeedsGradient: inputNeedsGradient)
    #expect(again.outcome == plain.outcome)
    #expect(plain.calls == [1, 1])
    #expect(again.calls == [2, 2])
    #expect((plain.outcome.inputGradient != nil) == inputNeedsGradient)
    #expect(plain.outcome.parameterGradients.allSatisfy { $0.contains { $0 != 0 } })
  }

  @Test func evaluationDoesNotRecompute() throws {
    let tape = Tape(backend: try CPUBackend(threads: 1), isRecording: false)
    var calls = 0
    let result = tape.checkpoint(Variable(Tensor(zeros: [1, 4]))) { tape, input in
      calls += 1
      return tape.add(input, input)
    }
    tape.runBackward()
    #expect(calls == 1)
    #expect(!result.needsGradient)
  }
}
