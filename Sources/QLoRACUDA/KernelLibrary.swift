// The kernels of one device, loaded and ready to be launched by name.
import CQLoRACUDA
import Dispatch
import QLoRADiagnostics
import Synchronization

// SAFETY: handles belong to the driver; the table of functions is behind a lock.
final class KernelLibrary: @unchecked Sendable {
  private struct Entry {
    let function: qlora_cuda_handle
    /// What dynamic shared memory the driver was told to allow.
    var sharedBytes: Int
  }

  /// More dynamic shared memory than this takes the driver's permission.
  private static let plainSharedBytes = 48 << 10
  /// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES.
  private static let sharedAttribute: Int32 = 8

  let device: CUDADevice
  private let modules: [qlora_cuda_handle]
  private let entries = Mutex<[String: Entry]>([:])

  /// - Parameter cache: where compiled kernels are kept between runs.
  /// - Throws: `kernelNotCompiled`, also where the driver refuses the code, and
  ///   `deviceMemoryExhausted`.
  init(_ device: CUDADevice, cache: KernelCache?) throws {
    self.device = device
    let compiler = KernelCompiler(device.libraries.compiler)
    let target = compiler.target(of: device.level)
    var modules: [qlora_cuda_handle] = []
    for (source, code) in zip(KernelSource.all, try Self.code(target, compiler, cache)) {
      var module: qlora_cuda_handle?
      device.attempt("cuModuleLoadData", detail: "\(source.name) for \(target)") { driver in
        code.withUnsafeBytes { bytes in bytes.baseAddress.map { driver.module_load(&module, $0) } }
          ?? 1
      }
      if let module { modules.append(module) }
    }
    self.modules = modules
    if let failure = device.failure {
      if failure.code == .deviceMemoryExhausted { throw failure }
      throw Diagnostic(
        .kernelNotCompiled, failure.message,
        remedy: "update the GPU's driver, or use device \"cpu\"")
    }
  }

  /// The code of every source, compiled side by side where the cache has none.
  private static func code(
    _ target: KernelTarget, _ compiler: KernelCompiler, _ cache: KernelCache?
  ) throws -> [[UInt8]] {
    let sources = KernelSource.all
    let results = Mutex([Result<[UInt8], any Error>?](repeating: nil, count: sources.count))
    DispatchQueue.concurrentPerform(iterations: sources.count) { index in
      let source = sources[index]
      let result = Result {
        try cache?.code(source, target, compiler) ?? compiler.compile(source, for: target)
      }
      results.withLock { $0[index] = result }
    }
    return try results.withLock { try $0.compactMap { try $0?.get() } }
  }

  /// Kernels that a hollow device passes over.
  init(hollow device: CUDADevice) {
    self.device = device
    var module: qlora_cuda_handle?
    device.attempt("cuModuleLoadData") { $0.module_load(&module, device.stream) }
    modules = [module].compactMap { $0 }
  }

  deinit {
    for module in modules { device.attempt("cuModuleUnload") { $0.module_unload(module) } }
  }

  /// Enqueues a kernel; nothing where one extent of the grid is 0.
  func launch(
    _ name: String, grid: (Int, Int, Int), threads: Int, sharedBytes: Int = 0,
    _ arguments: [any KernelArgument]
  ) {
    guard grid.0 > 0, grid.1 > 0, grid.2 > 0, device.failure == nil else { return }
    guard let function = function(name, sharedBytes: sharedBytes) else { return }
    var packed = KernelArguments(arguments)
    device.attempt("cuLaunchKernel", detail: name) { driver in
      packed.withPointers {
        driver.launch(
          function, UInt32(grid.0), UInt32(grid.1), UInt32(grid.2), UInt32(threads), 1, 1,
          UInt32(sharedBytes), device.stream, $0, nil)
      }
    }
  }

  private func function(_ name: String, sharedBytes: Int) -> qlora_cuda_handle? {
    entries.withLock { entries in
      if entries[name] == nil, let found = find(name) {
        entries[name] = Entry(function: found, sharedBytes: Self.plainSharedBytes)
      }
      guard let entry = entries[name] else { return nil }
      if sharedBytes > entry.sharedBytes {
        device.attempt("cuFuncSetAttribute", detail: "\(name), \(sharedBytes) bytes") {
          $0.function_set(entry.function, Self.sharedAttribute, Int32(sharedBytes))
        }
        entries[name]?.sharedBytes = sharedBytes
      }
      return entry.function
    }
  }

  /// Looks into one module after the other.
  private func find(_ name: String) -> qlora_cuda_handle? {
    var function: qlora_cuda_handle?
    var status: Int32 = 0
    for module in modules {
      device.attempt("cuModuleGetFunction") {
        status = $0.module_function(&function, module, name)
        return 0
      }
      if status == 0 { return function }
    }
    device.fail("cuModuleGetFunction", status, detail: name)
    return nil
  }
}
