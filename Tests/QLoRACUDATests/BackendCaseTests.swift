// Every operation of the GPU backend, on the simulated device, against the CPU's scalar reference.
import BackendCases
import CUDASimulator
import QLoRATensor
import Testing

@Suite struct BackendCaseTests {
  @Test(arguments: BackendCase.all)
  func agreesWithTheReference(_ example: BackendCase) throws {
    let both = try BothBackends()
    let outcome = try example.compare(both.cuda, with: both.cpu)
    #expect(outcome.isWithin, "\(example): \(outcome.difference), at most \(example.tolerance)")
  }

  /// Blocks, warps and lanes in other orders give the same bits: no barrier is missing, and no sum
  /// depends on who comes first.
  @Test(arguments: BackendCase.all)
  func theOrderOfThreadsChangesNoBit(_ example: BackendCase) throws {
    let both = try BothBackends()
    cuda_simulator_set_order(0)
    let first = try example.run(both.cuda).map(bytes)
    defer { cuda_simulator_set_order(0) }
    for order in [1, 2] as [UInt32] {
      cuda_simulator_set_order(order)
      #expect(try example.run(both.cuda).map(bytes) == first, "\(example) in order \(order)")
    }
  }

  private func bytes(_ tensor: Tensor) -> [UInt8] { tensor.withBytes { Array($0) } }
}
