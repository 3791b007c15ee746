// A hundred steps on random gradients against bitsandbytes' own optimizers on a CPU, and against
// torch.optim.SGD (make_optimizer_goldens.py made the golden).
import QLoRACPU
import QLoRARandom
import QLoRATensor
import TestSupport
import Testing

/// One parameter under one optimizer of the golden.
private struct OptimizedParameter {
  static let stateNames = ["state1", "state2", "momentum_buffer"]
  let optimizer: String
  let value: Tensor
  let moments: [OptimizerMoment]

  init(_ optimizer: String, start: [Float]) {
    self.optimizer = optimizer
    value = Tensor(start, shape: [start.count])
    let count = optimizer.hasPrefix("adamw") ? 2 : optimizer == "sgd" ? 0 : 1
    moments = (0..<count).map { _ in
      OptimizerMoment(zeros: [start.count], blockwise: optimizer.contains("8bit"))
    }
  }

  func update(_ backend: CPUBackend, gradient: [Float], step: Int) {
    let gradient = Tensor(gradient, shape: [gradient.count])
    let rate = 1e-3
    let isPlain = optimizer.hasSuffix("plain")
    if optimizer.hasPrefix("adamw") {
      backend.adamW(
        parameter: value, gradient: gradient, firstMoment: moments[0], secondMoment: moments[1],
        AdamWStep(
          learningRate: rate, beta1: isPlain ? 0.8 : 0.9, beta2: isPlain ? 0.95 : 0.999,
          epsilon: isPlain ? 1e-6 : 1e-8, weightDecay: isPlain ? 0 : 0.1, step: step))
    } else if optimizer.hasPrefix("lion") {
      backend.lion(
        parameter: value, gradient: gradient, moment: moments[0],
        LionStep(learningRate: rate, beta1: 0.9, beta2: 0.99, weightDecay: 0.1))
    } else {
      backend.sgd(
        parameter: value, gradient: gradient, moment: moments.first?.values,
        SGDStep(learningRate: rate, momentum: moments.isEmpty ? 0 : 0.9, weightDecay: 0.1))
    }
  }
}

struct OptimizerGoldenTests {
  /// Elements, and the distance between those that the golden holds.
  private static let sizes = [("large", 4096 + 300, 16), ("small", 300, 1)]
  private static let steps = 100

  /// Numbers exactly as the golden's generator draws them.
  private func draw(_ random: inout SplitMix64, _ count: Int) -> [Float] {
    (0..<count).map { _ in
      let bits = random.next()
      let whole = Float(Int(bits & 0xFFFF) - 0x8000)
      return Float(sign: .plus, exponent: -12 - Int(bits >> 16 & 15), significand: whole)
    }
  }

  /// Runs the optimizer and gives `look` every tensor that the golden has, by its name there.
  private func run(
    _ optimizer: String, _ backend: CPUBackend, _ look: (String, Tensor, _ stride: Int) -> Void
  ) {
    var random = SplitMix64(seed: 2022)
    let parameters = Self.sizes.map {
      OptimizedParameter(optimizer, start: draw(&random, $0.1))
    }
    for step in 1...Self.steps {
      for ((name, count, stride), parameter) in zip(Self.sizes, parameters) {
        parameter.update(backend, gradient: draw(&random, count), step: step)
        look("\(optimizer).\(name).after\(step)", parameter.value, stride)
      }
    }
    for ((name, _, stride), parameter) in zip(Self.sizes, parameters) {
      for (index, moment) in parameter.moments.enumerated() {
        let values = moment.scales == nil ? stride : 1
        for word in ["state\(index + 1)", "momentum_buffer"] {
          look("\(optimizer).\(name).\(word)", moment.values, values)
        }
        if let scales = moment.scales {
          look("\(optimizer).\(name).absmax\(index + 1)", scales, 1)
        }
      }
    }
  }

  /// Codes and scales bit for bit, and so are parameters, but for AdamW's: PyTorch's square root
  /// of a whole tensor is not always the nearest number.
  @Test(
    arguments: CPUBackend.instructionSets,
    ["adamw8bit", "adamw8bit-plain", "lion8bit", "lion", "sgd-momentum", "sgd-momentum-torch",
     "sgd"])
  func hasTheBitsOfTheReference(_ instructionSet: String, optimizer: String) throws {
    let golden = try QuantizationGoldens("optimizers.safetensors")
    let isAdamW = optimizer.hasPrefix("adamw")
    var compared = 0
    try run(optimizer, backend(instructionSet)) { name, tensor, stride in
      guard let expected = golden.tensor(name) else { return }
      compared += 1
      if tensor.dtype == .uint8 {
        #expect(tensor.bytes == expected.bytes, "\(name)")
      } else {
        let found = Swift.stride(from: 0, to: tensor.count, by: stride).map { tensor[flat: $0] }
        // With float32 moments AdamW is PyTorch's, which rounds otherwise than bitsandbytes.
        if isAdamW, name.contains(".after") || name.contains("small") {
          expectClose(found, expected.floats(), name)
        } else {
          #expect(found == expected.floats(), "\(name)")
        }
      }
    }
    let states = optimizer.hasPrefix("adamw8bit") ? 6 : optimizer == "lion8bit" ? 3 : 2
    #expect(compared == 6 + (optimizer == "sgd" ? 0 : states))
  }

  @Test(arguments: CPUBackend.instructionSets)
  func adamWIsThatOfBitsandbytesWithinRounding(_ instructionSet: String) throws {
    let golden = try QuantizationGoldens("optimizers.safetensors")
    var compared = 0
    try run("adamw", backend(instructionSet)) { name, tensor, stride in
      guard let expected = golden.tensor(name) else { return }
      compared += 1
      expectClose(
        Swift.stride(from: 0, to: tensor.count, by: stride).map { tensor[flat: $0] },
        expected.floats(), name)
    }
    #expect(compared == 10)
  }

  /// A hundred roundings of 2⁻²⁴ each, in the worst case all in one direction. A parameter moves
  /// by 0.1 at most, a hundred times the rate, so that on its way it was no larger than now and
  /// that. A first moment may shrink by cancellation, but was never much larger than the largest.
  private func expectClose(_ found: [Float], _ expected: [Float], _ name: String) {
    #expect(found.count == expected.count)
    let largest = expected.reduce(0) { max($0, abs($1)) }
    let floor = name.contains(".after") ? 0.1 : name.hasSuffix("state1") ? largest : 0
    let worst = zip(found, expected).reduce(0) {
      max($0, abs($1.0 - $1.1) / max(abs($1.1) + floor, .leastNormalMagnitude))
    }
    #expect(worst <= 100 * 0x1p-24, "\(name): \(worst)")
  }

  /// Codes and scales of blocks are nobody's but their item's.
  @Test(arguments: ["adamw8bit", "lion8bit", "sgd-momentum"])
  func threadsChangeNothing(_ optimizer: String) throws {
    let results = try [1, 2, 3].map { threads in
      var random = SplitMix64(seed: 7)
      // Three chunks and a part of a block.
      let parameter = OptimizedParameter(optimizer, start: draw(&random, 50_000))
      let set = CPUBackend.instructionSets[0]
      let backend = try backend(set, threads: threads)
      for step in 1...3 {
        parameter.update(backend, gradient: draw(&random, 50_000), step: step)
      }
      let states = parameter.moments.flatMap { [$0.values] + ($0.scales.map { [$0] } ?? []) }
      return ([parameter.value] + states).map(\.bytes)
    }
    #expect(results[0] == results[1] && results[0] == results[2])
  }

  /// Gradients of 0, of subnormal squares and of infinite squares reach no trap.
  @Test(arguments: [Float(0), 1e-38, 1e-22, 1e-20, 1e-19, 1e19, 1e38, .infinity, .nan])
  func noGradientTraps(_ size: Float) throws {
    for optimizer in ["adamw8bit", "lion8bit"] {
      let parameter = OptimizedParameter(optimizer, start: [Float](repeating: 1, count: 4096))
      let gradient = (0..<4096).map { $0 % 3 == 0 ? size : -size / 2 }
      let backend = try backend(CPUBackend.instructionSets[0])
      for step in 1...3 { parameter.update(backend, gradient: gradient, step: step) }
      #expect(size > 1e18 || size.isNaN || parameter.value.floats().allSatisfy { $0.isFinite })
    }
  }
}
