// One GPU: its context, its one stream, and the state of its health. Calls are enqueued in order;
// after the first that fails nothing more is asked of it, and `failure` says why.
import CQLoRACUDA
import QLoRADiagnostics
import Synchronization

/// A place in a device's memory.
typealias DeviceAddress = qlora_cuda_address

// SAFETY: handles belong to the driver, which allows any thread to use them; what changes is behind
// locks.
package final class CUDADevice: @unchecked Sendable {
  let libraries: CUDALibraries
  /// As the driver names it.
  package let name: String
  /// Its level, such as 90 for sm_90.
  package let level: Int
  /// Multiprocessors.
  package let processors: Int
  /// Shared memory that a block may have.
  let sharedBytes: Int
  package let memoryBytes: Int
  let stream: qlora_cuda_handle
  let context: qlora_cuda_handle
  private let ordinal: Int32
  /// Whose handles a hollow device has.
  private let owner: CUDADevice?
  private let failed = Mutex<Diagnostic?>(nil)
  /// What becomes of what is enqueued.
  let recording = Mutex(RecordingState.none)
  /// Where times are wanted.
  let timing = Mutex<CallTiming?>(nil)

  /// CU_STREAM_NON_BLOCKING and CU_EVENT_DISABLE_TIMING.
  static let (nonBlocking, untimed): (UInt32, UInt32) = (1, 2)

  /// The oldest level whose instructions the kernels use.
  static let oldestLevel = 80

  /// - Throws: where there is no such device, or it is too old.
  package init(_ libraries: CUDALibraries, ordinal: Int = 0) throws {
    self.libraries = libraries
    self.ordinal = Int32(ordinal)
    owner = nil
    let driver = libraries.driver
    func check(_ call: String, _ status: Int32) throws {
      guard status != 0 else { return }
      let failure = Self.failure(call, status, driver)
      // A context takes memory, too.
      if status == DeviceFailure.outOfMemory { throw failure.diagnostic(device: "the GPU") }
      throw Diagnostic(
        .cudaDeviceMissing, "the driver shows no usable GPU: \(call) returned \(failure.name)",
        remedy: "see `nvidia-smi`, and CUDA_VISIBLE_DEVICES")
    }
    try check("cuInit", driver.`init`(0))
    var (count, device): (Int32, Int32) = (0, 0)
    try check("cuDeviceGetCount", driver.device_count(&count))
    guard ordinal < count else {
      throw Diagnostic(
        .cudaDeviceMissing, "the driver shows \(count) GPUs",
        remedy: "see `nvidia-smi`, and CUDA_VISIBLE_DEVICES")
    }
    try check("cuDeviceGet", driver.device(&device, Int32(ordinal)))
    func attribute(_ number: Int32) throws -> Int {
      var value: Int32 = 0
      try check("cuDeviceGetAttribute", driver.device_attribute(&value, number, device))
      return Int(value)
    }
    var text = [CChar](repeating: 0, count: 256)
    try check("cuDeviceGetName", driver.device_name(&text, Int32(text.count - 1), device))
    name = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    processors = try attribute(Attribute.processors)
    sharedBytes = try attribute(Attribute.sharedBytes)
    level = try attribute(Attribute.major) * 10 + attribute(Attribute.minor)
    guard level >= Self.oldestLevel else {
      throw Diagnostic(
        .cudaDeviceMissing,
        "\(name) has level \(level / 10).\(level % 10), and the kernels need 8.0",
        remedy: "use a GPU of the Ampere generation or later, or device \"cpu\"")
    }
    var bytes = 0
    try check("cuDeviceTotalMem", driver.device_memory(&bytes, device))
    memoryBytes = bytes
    var handle: qlora_cuda_handle?
    try check("cuDevicePrimaryCtxRetain", driver.context_retain(&handle, device))
    guard let context = handle else { throw Self.noHandle(name) }
    self.context = context
    try check("cuCtxSetCurrent", driver.context_set(context))
    try check("cuStreamCreate", driver.stream_create(&handle, Self.nonBlocking))
    guard let stream = handle else { throw Self.noHandle(name) }
    self.stream = stream
  }

  /// One that looks like `device` and computes nothing; its memory is as large as anybody wants.
  init(shapeOf device: CUDADevice) {
    libraries = device.libraries.hollow
    (name, level, processors) = (device.name, device.level, device.processors)
    (memoryBytes, sharedBytes) = (device.memoryBytes, device.sharedBytes)
    (stream, context) = (device.stream, device.context)
    (ordinal, owner) = (device.ordinal, device)
  }

  deinit {
    if owner != nil { return }
    _ = libraries.driver.context_set(context)
    _ = libraries.driver.stream_destroy(stream)
    _ = libraries.driver.context_release(ordinal)
  }

  private static func noHandle(_ name: String) -> Diagnostic {
    Diagnostic(.cudaDeviceMissing, "the driver gave no handle of \(name)")
  }

  /// Numbers of the driver's interface.
  private enum Attribute {
    static let processors: Int32 = 16
    static let major: Int32 = 75
    static let minor: Int32 = 76
    /// With the driver's permission.
    static let sharedBytes: Int32 = 97
  }

  /// Whether nothing is computed.
  var isHollow: Bool { owner != nil }

  // MARK: Health

  /// Why the device computes nothing any more; nil while it is well.
  package var failure: Diagnostic? { failed.withLock { $0 } }

  static func failure(
    _ call: String, _ status: Int32, _ driver: qlora_cuda_driver
  ) -> DeviceFailure {
    if DeviceFailure.isOfProducts(call) {
      return DeviceFailure(call: call, status: status, name: "a cuBLAS status")
    }
    var text: UnsafePointer<CChar>?
    _ = driver.error_name(status, &text)
    return DeviceFailure(
      call: call, status: status, name: text.map { String(cString: $0) } ?? "an unknown error")
  }

  /// Keeps the first failure.
  func fail(_ call: String, _ status: Int32, detail: String = "") {
    let failure = Self.failure(call, status, libraries.driver)
    failed.withLock {
      if $0 == nil { $0 = failure.diagnostic(device: name, detail: detail) }
    }
  }

  /// Makes a call in the device's context, unless an earlier one has failed.
  /// - Parameter isTimed: whether it may have a time; false for calls on other streams.
  /// - Returns: whether it succeeded.
  @discardableResult
  func attempt(
    _ call: String, detail: @autoclosure () -> String = "", isTimed: Bool = true,
    _ body: (qlora_cuda_driver) -> Int32
  ) -> Bool {
    if failure != nil { return false }
    _ = libraries.driver.context_set(context)
    guard admits(call) else { return false }
    let status = isTimed ? timed(call, detail, body) : body(libraries.driver)
    if status == 0 { return true }
    if !isRefusalToRecord(status) { fail(call, status, detail: detail()) }
    return false
  }

  /// Makes a call that gives something back, which a failure does not stop: others may have use for
  /// it.
  func giveBack(_ call: String, _ body: (qlora_cuda_driver) -> Int32) {
    if failure == nil {
      attempt(call) { body($0) }
    } else {
      _ = libraries.driver.context_set(context)
      _ = body(libraries.driver)
    }
  }

  // MARK: Memory and time

  package func synchronize() {
    attempt("cuStreamSynchronize") { $0.stream_synchronize(stream) }
  }

  /// Free bytes now; 0 after a failure.
  package var freeBytes: Int {
    var (free, total) = (0, 0)
    attempt("cuMemGetInfo") { $0.memory_info(&free, &total) }
    return free
  }

  func copy(from host: UnsafeRawPointer, to address: DeviceAddress, byteCount: Int) {
    if byteCount == 0 || address == 0 { return }
    attempt("cuMemcpyHtoDAsync", detail: "\(byteCount) bytes") {
      $0.copy_to_device(address, host, byteCount, stream)
    }
  }

  /// Waits until the bytes have arrived. Otherwise they are zeros: after a failure, of memory that
  /// was refused, and of what a refused recording has not computed.
  ///
  /// - Returns: whether they are the device's.
  @discardableResult
  func copy(
    from address: DeviceAddress, to host: UnsafeMutableRawPointer, byteCount: Int
  ) -> Bool {
    if byteCount == 0 { return true }
    let didCopy =
      address != 0
      && attempt("cuMemcpyDtoHAsync", detail: "\(byteCount) bytes") {
        $0.copy_to_host(host, address, byteCount, stream)
      } && attempt("cuStreamSynchronize") { $0.stream_synchronize(stream) }
    if !didCopy { host.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount) }
    return didCopy
  }

  func zero(_ address: DeviceAddress, byteCount: Int) {
    if byteCount == 0 { return }
    attempt("cuMemsetD8Async") { $0.fill(address, 0, byteCount, stream) }
  }
}
