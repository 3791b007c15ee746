// Weights and optimizer states in the host's memory, which the device reads by itself.
import CUDASimulator
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRACUDA

@Suite(.serialized) struct OutsideMemoryTests {
  /// A backend of a device that counts its memory.
  private func backend(weightBytes: Int?) throws -> CUDABackend {
    let libraries = CUDALibraries(
      driver: cuda_simulator_frail_driver().pointee,
      compiler: cuda_simulator_compiler().pointee,
      products: cuda_simulator_products().pointee)
    return try CUDABackend(
      CUDADevice(libraries), host: CPUBackend(threads: 1), weightBytes: weightBytes,
      growthBytes: 1 << 16)
  }

  /// Losses, gradients and what the backend took of the device's memory for three steps. (Of what
  /// is free, other tests take their part.)
  private func step(
    _ base: GoldenBase, weightBytes: Int?
  ) throws -> (numbers: [[Float]], taken: Int, foreseen: Int) {
    let backend = try backend(weightBytes: weightBytes)
    let tiny = try TinyLlama(base, on: backend, computeDType: .bfloat16)
    let losses = try (0..<3).map { step in
      Float(try tiny.model.accumulateGradients(tiny.batch, dropoutStream: UInt64(step)))
    }
    try backend.checkHealth()
    let gradients = tiny.model.parameters.map { $0.gradient.floats() }
    return ([losses] + gradients, backend.takenBytes, backend.foreseenWeights)
  }

  @Test(arguments: GoldenBase.allCases)
  func whereWeightsLieChangesNoBit(base: GoldenBase) throws {
    let inside = try step(base, weightBytes: nil)
    for weightBytes in [0, 50_000] {
      let outside = try step(base, weightBytes: weightBytes)
      #expect(outside.numbers == inside.numbers, "\(weightBytes) bytes inside")
      #expect(outside.taken < inside.taken)
      // All of the second and third step.
      #expect(outside.foreseen > 0 && inside.foreseen == 0)
    }
  }

  @Test func weightsOutsideCanBeReadBack() throws {
    let bytes = try [nil, 0].map { weightBytes -> [UInt8] in
      let backend = try backend(weightBytes: weightBytes)
      let builder = try backend.makeWeightBuilder(
        outFeatures: 8, inFeatures: 64, .fourBit(QuantizationSpec()))
      try builder.fill { range, values in
        for index in range { values[index - range.lowerBound] = Float(index % 13) - 6 }
      }
      let weight = try builder.finish()
      let matrix = try #require(backend.quantizedMatrix(weight, sourceDType: .float32))
      return matrix.packed.withBytes { Array($0) }
    }
    #expect(bytes[0] == bytes[1] && !bytes[0].isEmpty)
  }

  @Test(arguments: [false, true])
  func whereStatesLieChangesNoBit(blockwise: Bool) throws {
    let backend = try backend(weightBytes: nil)
    #expect(backend.hasOutsideMemory)
    let shape: Shape = [48, 128]
    let results = [false, true].map { isOutside -> [[UInt8]] in
      let parameter = Tensor([Float](repeating: 0.5, count: shape.count), shape: shape)
      let moments = (0..<2).map { _ in
        isOutside
          ? OptimizerMoment(zeros: shape, blockwise: blockwise, tensor: backend.outsideZeros)
          : OptimizerMoment(zeros: shape, blockwise: blockwise)
      }
      let before = backend.takenBytes
      for number in 1...3 {
        let gradient = Tensor(
          (0..<shape.count).map { Float($0 % 31 - 15) / Float(number) }, shape: shape)
        backend.adamW(
          parameter: parameter, gradient: gradient, firstMoment: moments[0],
          secondMoment: moments[1],
          AdamWStep(
            learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1,
            step: number))
      }
      // Parameter and gradients alone take memory of the device where states are outside.
      if isOutside { #expect(backend.takenBytes - before <= 5 << 16) }
      return ([parameter] + moments.map(\.values)).map { $0.withBytes { Array($0) } }
    }
    #expect(results[0] == results[1])
  }
}
