// Attention where blocks have little shared memory: fewer warps share a tile.
import BackendCases
import CUDASimulator
import QLoRACPU
import QLoRACUDA
import QLoRATensor
import Testing

@Suite struct NarrowDeviceTests {
  private static let cases = BackendCase.all.filter {
    $0.name.contains("attention") && $0.name.contains("bfloat16")
  }

  @Test(arguments: cases)
  func agreesWithTheReference(_ example: BackendCase) throws {
    let cpu = try CPUBackend(threads: 1, instructionSet: "reference")
    let cuda = try BothBackends.cuda(host: cpu, driver: cuda_simulator_narrow_driver().pointee)
    let outcome = try example.compare(cuda, with: cpu)
    #expect(outcome.isWithin, "\(example): \(outcome.difference), at most \(example.tolerance)")
  }

  @Test func thereAreSuchCases() { #expect(Self.cases.count > 10) }
}
