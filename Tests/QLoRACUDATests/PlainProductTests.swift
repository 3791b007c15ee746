// Products of a cuBLASLt that refuses them: our plain kernel serves.
import BackendCases
import CUDASimulator
import QLoRACPU
import QLoRACUDA
import QLoRATensor
import Testing

@Suite struct PlainProductTests {
  private static let cases = BackendCase.all.filter {
    $0.name.hasPrefix("linear") || $0.name.contains("head")
  }

  @Test(arguments: cases)
  func agreesWithTheReference(_ example: BackendCase) throws {
    let cpu = try CPUBackend(threads: 1, instructionSet: "reference")
    let libraries = CUDALibraries(
      driver: cuda_simulator_driver().pointee, compiler: cuda_simulator_compiler().pointee,
      products: cuda_simulator_refusing_products().pointee)
    let cuda = try CUDABackend(CUDADevice(libraries), host: cpu, growthBytes: 0)
    let outcome = try example.compare(cuda, with: cpu)
    #expect(outcome.isWithin, "\(example): \(outcome.difference), at most \(example.tolerance)")
  }
}
