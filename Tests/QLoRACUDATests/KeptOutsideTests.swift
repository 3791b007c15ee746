// Values that wait in the host's memory from forward to backward, on a device whose streams run as
// late as they may.
import CUDASimulator
import QLoRACPU
import QLoRAModels
import QLoRATensor
import Testing
import TinyModel

import QLoRACUDA

@Suite struct KeptOutsideTests {
  /// Loss, gradients, what lay in the device's memory between forward and backward, and the extent
  /// of the pool.
  private func step(
    _ backend: CUDABackend, _ base: GoldenBase, _ policy: ActivationPolicy
  ) throws -> (numbers: [[Float]], kept: Int, extent: Int) {
    let tiny = try TinyLlama(base, on: backend, computeDType: .bfloat16, dropout: 0.1)
    tiny.model.activationPolicies = tiny.model.activationPolicies.map { _ in policy }
    backend.restartPool()
    let before = backend.statistics.liveBytes
    var kept = 0
    let loss = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0) { stage in
      if case .forward = stage { kept = backend.statistics.liveBytes - before }
    }
    try backend.checkHealth()
    return (
      [[Float(loss)]] + tiny.model.parameters.map { $0.gradient.floats() }, kept,
      backend.statistics.extentBytes
    )
  }

  @Test(arguments: GoldenBase.allCases)
  func whereInputsOfBlocksLieChangesNoBit(base: GoldenBase) throws {
    let host = try CPUBackend(threads: 1)
    let backend = try BothBackends.cuda(host: host, growthBytes: 16 << 20)
    let all = try step(backend, base, .everything)
    let inside = try step(backend, base, .input)
    let outside = try step(backend, base, .outside)
    #expect(inside.numbers == all.numbers && outside.numbers == all.numbers)
    #expect(outside.kept < inside.kept && inside.kept < all.kept)
    #expect(backend.asideBytes > 0)
    // Once more, with pinned memory that was used before.
    #expect(try step(backend, base, .outside).numbers == all.numbers)
  }

  /// What a plan sees is what a step takes.
  @Test func aHollowDeviceIsAskedForTheSameMemory() throws {
    let host = try CPUBackend(threads: 1)
    let real = try BothBackends.cuda(host: host, growthBytes: 256 << 20)
    let hollow = try CUDABackend(
      shapeOf: real.device, host: CPUBackend(threads: 1, isShapeOnly: true))
    let found = try [real, hollow].map { backend in
      let step = try step(backend, .nf4dq, .outside)
      return [step.kept, step.extent, backend.asideBytes]
    }
    #expect(found[0] == found[1])
  }

  /// Whatever order values come back in, and whatever was written where they had been.
  @Test(arguments: [[4, 3, 2, 1, 0], [0, 1, 2, 3, 4], [2, 4, 0], []])
  func valuesComeBack(order: [Int]) throws {
    let host = try CPUBackend(threads: 1)
    let backend = try BothBackends.cuda(host: host, growthBytes: 1 << 16)
    func value(_ number: Int) -> [Float] { (0..<300).map { Float($0 * 7 + number) } }
    func made(_ number: Int) -> Tensor {
      let output = backend.allocate([300], .float32)
      backend.convert(Tensor(value(number), shape: [300]), into: output)
      return output
    }
    for _ in 0..<2 {
      let tensors = (0..<5).map { number in
        let tensor = made(number)
        backend.setAside(tensor)
        _ = made(100 + number)
        return tensor
      }
      for number in order {
        let sum = backend.allocate([300], .float32)
        backend.add(tensors[number], tensors[number], into: sum)
        _ = made(200)
        let isDoubled = sum.floats() == value(number).map { 2 * $0 }
        let isBack = tensors[number].floats() == value(number)
        #expect(isDoubled && isBack, "value \(number)")
      }
    }
    try backend.checkHealth()
  }
}
