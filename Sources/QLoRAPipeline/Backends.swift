// The choice of a device: the one place that makes a concrete backend.

import QLoRACPU
import QLoRACUDA
import QLoRADiagnostics
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Where a model is computed.
package enum ComputeDevice: Sendable {
  case cpu
  case cuda(CUDADevice)

  package var isGPU: Bool { if case .cuda = self { true } else { false } }

  /// What a test gives in place of this machine's libraries.
  @TaskLocal package static var libraries: CUDALibraries?

  /// - Parameters:
  ///   - word: as recipes say it: `cpu`, `cuda` or `auto`.
  ///   - usesInt16: whether products are computed in 16-bit integers, which the CPU alone does.
  /// - Throws: for `cuda`, what is missing.
  package static func choose(_ word: String, usesInt16: Bool = false) throws -> ComputeDevice {
    switch word {
    case "cuda":
      guard !usesInt16 else {
        throw Diagnostic(
          .recipeOutOfRange, "model.computeDType \"int16\" is computed on the CPU alone",
          remedy: "set it to \"bfloat16\", or device to \"cpu\"")
      }
      return .cuda(try CUDADevice(libraries ?? survey().require()))
    case "auto": return open(usesInt16: usesInt16).device
    default: return .cpu
    }
  }

  /// The device where the choice is left open: a GPU that can be used, else the CPU with the reason
  /// why it is not a GPU; nil where there is no driver of one, or no choice.
  static func open(usesInt16: Bool = false) -> (device: ComputeDevice, problem: String?) {
    if usesInt16 { return (.cpu, nil) }
    let survey = libraries == nil ? survey() : nil
    guard let found = libraries ?? survey?.libraries else {
      // One that is too old to load is a driver, too.
      let hasDriver =
        survey?.found.contains { $0.kind == .driver } ?? false
        || survey?.missing?.code == .cudaDriverTooOld
      return (.cpu, hasDriver ? survey?.missing?.message : nil)
    }
    do {
      return (.cuda(try CUDADevice(found)), nil)
    } catch {
      return (.cpu, (error as? Diagnostic)?.message ?? "\(error)")
    }
  }

  /// Every NVRTC of this machine, one of each version, with its file.
  package static func compilers() -> [(path: String, compiler: KernelCompiler)] {
    CUDASurvey.compilers(CUDASearch(environment: ProcessInfo.processInfo.environment))
  }

  /// What a run may take there: a GPU's free memory, or what the machine has left and this process
  /// has already; nil where nothing is known.
  func limitBytes(_ machine: MachineMemory) -> Int? {
    if case .cuda(let device) = self { return device.freeBytes }
    return machine.availableBytes.map { $0 + (machine.residentBytes ?? 0) }
  }

  /// Where compiled kernels are kept: beside the cache of weights; nowhere for a device that a test
  /// has made.
  package static var kernelCache: KernelCache? {
    let environment = ProcessInfo.processInfo.environment
    guard libraries == nil, let folder = WeightCache.place(environment) else {
      return nil
    }
    return KernelCache(FilePath.join(folder, "kernels"))
  }

  static func survey() -> CUDASurvey {
    CUDASurvey(CUDASearch(environment: ProcessInfo.processInfo.environment))
  }
}

enum Backends {
  /// The CPU, with the process's memory set up for weights.
  ///
  /// - Parameters:
  ///   - threads: 0 = all cores.
  ///   - usesInt16: whether products with 4-bit weights are computed in 16-bit integers.
  /// - Throws: where this CPU has no such products.
  static func make(threads: Int = 0, usesInt16: Bool = false) throws -> CPUBackend {
    ProcessMemory.keepLargeBlocksApart()
    return try CPUBackend(threads: threads, product: usesInt16 ? .int16 : .automatic)
  }

  /// What a request's device computes with.
  /// - Throws: as above, and where a GPU's kernels do not compile or its memory is taken.
  static func make(_ request: ModelRequest) throws -> any RehearsedBackend {
    guard case .cuda(let device) = request.device else {
      return try make(threads: request.threads, usesInt16: request.usesInt16)
    }
    return try CUDABackend(
      device, host: make(threads: request.threads), cache: ComputeDevice.kernelCache,
      poolBytes: request.poolBytes, weightBytes: request.deviceWeightBytes)
  }

  /// The same, only counting: it asks for memory as the other one does and computes nothing.
  static func makeShapeOnly(_ request: ModelRequest) throws -> any RehearsedBackend {
    let isInt16 = request.usesInt16
    let host = try CPUBackend(
      threads: request.threads, product: isInt16 ? .int16 : .automatic, isShapeOnly: true)
    guard case .cuda(let device) = request.device else { return host }
    return try CUDABackend(shapeOf: device, host: host)
  }
}

/// A backend whose steps can be rehearsed: it knows what its pool lends.
protocol RehearsedBackend: WeightArchiving {
  /// As records name it.
  var words: String { get }
  /// Bytes lent now, lent at most, and the part of the pool that was lent since `restartPool`.
  var poolBytes: (live: Int, peak: Int, extent: Int) { get }
  func restartPool()
  /// What waited in the host's memory at most since then, beside a device's own.
  var asideBytes: Int { get }
  /// A tensor that counts as no activation: a shape-only parameter or moment.
  func hollowTensor(_ shape: Shape) -> Tensor
}

extension CPUBackend: RehearsedBackend {
  var words: String { "\(name), \(threadPool.threads) threads" }

  var poolBytes: (live: Int, peak: Int, extent: Int) {
    let statistics = storagePool.statistics
    return (statistics.liveBytes, statistics.peakBytes, statistics.extentBytes)
  }

  func restartPool() { storagePool.restart() }

  var asideBytes: Int { 0 }
}

extension CUDABackend: RehearsedBackend {
  var words: String { name }

  var poolBytes: (live: Int, peak: Int, extent: Int) {
    (statistics.liveBytes, statistics.peakBytes, statistics.extentBytes)
  }
}
