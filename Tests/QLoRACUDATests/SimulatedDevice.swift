// The simulated device as a backend, beside the CPU's scalar reference.
import CUDASimulator
import QLoRACPU
import QLoRATensor
import QLoRACUDA

/// Both backends, for one comparison after the other.
struct BothBackends {
  let cpu: CPUBackend
  let cuda: CUDABackend

  /// - Parameter growthBytes: 0 gives every block of memory guards of its own.
  init(growthBytes: Int = 0) throws {
    cpu = try CPUBackend(threads: 1, instructionSet: "reference")
    cuda = try Self.cuda(host: cpu, growthBytes: growthBytes)
  }

  static func cuda(
    host: CPUBackend, poolBytes: Int? = nil, growthBytes: Int = 0,
    driver: qlora_cuda_driver = cuda_simulator_driver().pointee
  ) throws -> CUDABackend {
    let libraries = CUDALibraries(
      driver: driver, compiler: cuda_simulator_compiler().pointee,
      products: cuda_simulator_products().pointee)
    return try CUDABackend(
      CUDADevice(libraries), host: host, poolBytes: poolBytes, growthBytes: growthBytes)
  }
}

typealias SimulatedBackend = CUDABackend
