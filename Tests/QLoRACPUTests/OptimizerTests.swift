// AdamW against PyTorch, bit by bit (make_adamw_goldens.py made the golden).
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

private struct Golden: Decodable {
  struct Case: Decodable {
    var lr: Double
    var betas: [Double]
    var eps: Double
    var weight_decay: Double
    var start: [UInt32]
    var gradients: [[UInt32]]
    var parameters: [[UInt32]]
    var firstMoment: [UInt32]
    var secondMoment: [UInt32]

    func step(_ step: Int) -> AdamWStep {
      AdamWStep(
        learningRate: lr, beta1: betas[0], beta2: betas[1], epsilon: eps,
        weightDecay: weight_decay, step: step)
    }
  }
  var cases: [Case]
}

struct OptimizerTests {
  @Test(arguments: CPUBackend.instructionSets)
  func adamWHasTheBitsOfPyTorch(_ instructionSet: String) throws {
    let backend = try backend(instructionSet)
    let golden = try JSONDecoder().decode(
      Golden.self, from: Data(contentsOf: Goldens.url("adamw.json")))
    #expect(golden.cases.count == 3)
    for example in golden.cases {
      let count = example.start.count
      let parameter = GuardedTensor(example.start.map { Float(bitPattern: $0) }, [count])
      let zeros = [Float](repeating: 0, count: count)
      let (first, second) = (GuardedTensor(zeros, [count]), GuardedTensor(zeros, [count]))
      for (index, gradient) in example.gradients.enumerated() {
        let gradient = Tensor(gradient.map { Float(bitPattern: $0) }, shape: [count])
        backend.adamW(
          parameter: parameter.tensor, gradient: gradient,
          firstMoment: OptimizerMoment(first.tensor),
          secondMoment: OptimizerMoment(second.tensor), example.step(index + 1))
        #expect(parameter.tensor.floats().map(\.bitPattern) == example.parameters[index])
      }
      #expect(first.tensor.floats().map(\.bitPattern) == example.firstMoment)
      #expect(second.tensor.floats().map(\.bitPattern) == example.secondMoment)
      #expect(parameter.isIntact && first.isIntact && second.isIntact)
    }
  }

  /// Chunk borders and tails round as the middle does.
  @Test(arguments: [1, 15, 16, 17, 33_000])
  func instructionSetsAgree(_ count: Int) throws {
    var random = SeededGenerator(seed: 14)
    let (start, slope) = (random.normals(count), random.normals(count, scale: 1e-3))
    let step = AdamWStep(
      learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: 3)
    let results = try CPUBackend.instructionSets.map { instructionSet in
      let tensors = [start, slope, slope.map { $0 / 3 }, slope.map { $0 * $0 }].map {
        Tensor($0, shape: [count])
      }
      try backend(instructionSet).adamW(
        parameter: tensors[0], gradient: tensors[1], firstMoment: OptimizerMoment(tensors[2]),
        secondMoment: OptimizerMoment(tensors[3]), step)
      return tensors.map(\.bytes)
    }
    #expect(results.allSatisfy { $0 == results[0] })
    #expect(results[0][0] != Tensor(start, shape: [count]).bytes)
  }

  /// The same of the kernels with one state or none, between guard bytes.
  @Test(arguments: [1, 15, 16, 17, 33_000], [0, 1, 2])
  func instructionSetsAgreeOnOneState(_ count: Int, kind: Int) throws {
    var random = SeededGenerator(seed: 15)
    let values = (0..<3).map { _ in random.normals(count, scale: 1e-2) }
    let results = try CPUBackend.instructionSets.map { instructionSet in
      let tensors = values.map { GuardedTensor($0, [count]) }
      let (p, g, m) = (tensors[0].tensor, tensors[1].tensor, tensors[2].tensor)
      // Neither a positive nor a negative direction, and then no step.
      (g[flat: 0], m[flat: 0]) = (0, 0)
      let backend = try backend(instructionSet)
      if kind == 0 {
        backend.lion(
          parameter: p, gradient: g, moment: OptimizerMoment(m),
          LionStep(learningRate: 1e-3, beta1: 0.9, beta2: 0.99, weightDecay: 0.1))
        #expect(p[flat: 0] == values[0][0] * Float(1 - 1e-3 * 0.1))
      } else {
        backend.sgd(
          parameter: p, gradient: g, moment: kind == 1 ? m : nil,
          SGDStep(learningRate: 1e-3, momentum: kind == 1 ? 0.9 : 0, weightDecay: 0.1))
      }
      #expect(tensors.allSatisfy { $0.isIntact })
      return [p, m].map(\.bytes)
    }
    #expect(results.allSatisfy { $0 == results[0] })
    #expect(results[0][0] != Tensor(values[0], shape: [count]).bytes)
  }
}
