// What a failed call of the driver means for whoever reads it.
import QLoRADiagnostics

/// A call that did not succeed.
struct DeviceFailure: Error {
  /// CUDA_ERROR_OUT_OF_MEMORY.
  static let outOfMemory: Int32 = 2

  let call: String
  let status: Int32
  /// The driver's name of the status.
  let name: String

  /// - Parameter detail: what the call was for, such as a size.
  func diagnostic(device: String, detail: String = "") -> Diagnostic {
    let what = detail.isEmpty ? call : "\(call) (\(detail))"
    if status == Self.outOfMemory {
      return Diagnostic(
        .deviceMemoryExhausted, "\(device) has no memory left: \(what)",
        remedy: "set training.activationMemory to \"full\", lower training.batchSize or "
          + "data.maxTokens, or end other programs that use the GPU")
    }
    return Diagnostic(
      .deviceLost, "\(device) failed: \(what) returned \(name) (\(status))",
      remedy: "run `qlora resume`, which goes on from the last checkpoint")
  }
}
