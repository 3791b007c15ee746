// What a failed call of the driver means for whoever reads it.
import QLoRADiagnostics

/// A call that did not succeed.
struct DeviceFailure: Error {
  /// CUDA_ERROR_OUT_OF_MEMORY.
  static let outOfMemory: Int32 = 2
  /// CUBLAS_STATUS_ALLOC_FAILED.
  private static let outOfMemoryForProducts: Int32 = 3
  /// The call for memory of the host's that the device reaches.
  static let pinning = "cuMemHostAlloc"

  let call: String
  let status: Int32
  /// The driver's name of the status.
  let name: String

  /// cuBLASLt has numbers of its own, which the driver does not know.
  static func isOfProducts(_ call: String) -> Bool { call.hasPrefix("cublasLt") }

  private var isOutOfMemory: Bool {
    status == (Self.isOfProducts(call) ? Self.outOfMemoryForProducts : Self.outOfMemory)
  }

  /// What to do about it depends on what was done: whoever knows says more.
  ///
  /// - Parameter detail: what the call was for, such as a size.
  func diagnostic(device: String, detail: String = "") -> Diagnostic {
    let what = detail.isEmpty ? call : "\(call) (\(detail))"
    if isOutOfMemory, call == Self.pinning {
      return Diagnostic(
        .deviceMemoryExhausted, "the host has no memory left that \(device) reaches: \(what)",
        remedy: "end other programs, give the container more memory, keep less in the host's "
          + "memory, or use device \"cpu\"")
    }
    if isOutOfMemory {
      return Diagnostic(
        .deviceMemoryExhausted, "\(device) has no memory left: \(what)",
        remedy: "end other programs that use the GPU (`nvidia-smi` lists them), do less at once, "
          + "or use device \"cpu\"")
    }
    return Diagnostic(
      .deviceLost, "\(device) failed: \(what) returned \(name) (\(status))",
      remedy: "start again; where it fails again, the system's log has the driver's messages")
  }
}
