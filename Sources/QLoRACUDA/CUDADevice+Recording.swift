// What is enqueued may be recorded instead of run, as a graph that is launched as one. A call that
// no graph can hold ends the recording: what there is runs, and everything after it runs at once.
// Source: NVIDIA, "CUDA Driver API", stream management and graph management.
import CQLoRACUDA

enum RecordingState: Sendable {
  /// Everything runs.
  case none
  case underWay
  /// Was ended by a call that no graph holds; nothing is lost.
  case ended
  /// What was recorded is lost, and must be asked for again; what is enqueued meanwhile is passed
  /// over.
  case refused
}

enum RecordingOutcome {
  /// The graph, whose first launch is enqueued.
  case recorded(PreparedGraph)
  case ended
  case refused
}

// SAFETY: the driver's handle, which any thread may use; it is destroyed with this object, which
// the driver puts off until its last launch has run.
/// A graph that is ready to be launched.
final class PreparedGraph: @unchecked Sendable {
  private let device: CUDADevice
  private let handle: qlora_cuda_handle

  fileprivate init(_ device: CUDADevice, _ handle: qlora_cuda_handle) {
    self.device = device
    self.handle = handle
  }

  deinit { device.attempt("cuGraphExecDestroy") { $0.prepared_destroy(handle) } }

  func launch() {
    device.attempt("cuGraphLaunch") { $0.graph_launch(handle, device.stream) }
  }
}

extension CUDADevice {
  /// Calls that a graph holds, or that do not concern the stream. Products by cuBLASLt are none:
  /// rows as few as a recorded step's need none, and its refusals could not be told from failures.
  private static let recordable: Set<String> = [
    "cuLaunchKernel", "cuMemsetD8Async", "cuMemcpyDtoDAsync", "cuFuncSetAttribute",
    "cuModuleGetFunction", "cuMemAlloc", "cuMemGetInfo", "cuGraphExecDestroy",
  ]
  /// What must not run with what a refused recording left undone.
  private static let passedOver: Set<String> = [
    "cuLaunchKernel", "cuMemsetD8Async", "cuMemcpyDtoDAsync", "cuMemcpyDtoHAsync",
    "cublasLtMatmul", "cuGraphLaunch",
  ]
  /// CU_STREAM_CAPTURE_MODE_RELAXED: memory may be allocated meanwhile.
  private static let relaxed: Int32 = 2
  /// CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED and those that follow from it.
  private static let refusals: ClosedRange<Int32> = 900...908

  /// - Returns: whether what is enqueued from now on is recorded.
  func beginRecording() -> Bool {
    if isHollow || failure != nil { return false }
    _ = libraries.driver.context_set(context)
    return recording.withLock { state in
      guard libraries.driver.capture_begin(stream, Self.relaxed) == 0 else { return false }
      state = .underWay
      return true
    }
  }

  /// Runs what is recorded, and everything from now on.
  func stopRecording() {
    // Others wait, so that nothing is enqueued before what was recorded.
    let graph: PreparedGraph? = recording.withLock { state in
      guard state == .underWay else { return nil }
      let graph = launched()
      state = graph == nil ? .refused : .ended
      return graph
    }
    // It must not go while the lock is held, which its end takes.
    withExtendedLifetime(graph) {}
  }

  /// - Returns: whether the call is to be made, which ends a recording that can't hold it.
  func admits(_ call: String) -> Bool {
    switch recording.withLock({ $0 }) {
    case .none, .ended: return true
    case .refused: return !Self.passedOver.contains(call)
    case .underWay:
      if !Self.recordable.contains(call) { stopRecording() }
      return true
    }
  }

  /// Whether the driver refused a call because it would have been recorded.
  func isRefusalToRecord(_ status: Int32) -> Bool {
    Self.refusals.contains(status) && refuseRecording()
  }

  /// Gives up a recording that is under way.
  /// - Returns: whether there was one.
  func refuseRecording() -> Bool {
    recording.withLock { state in
      if state == .underWay {
        if let graph = captured() { _ = libraries.driver.graph_destroy(graph) }
        state = .refused
      }
      return state == .refused
    }
  }

  func endRecording() -> RecordingOutcome {
    recording.withLock { state in
      defer { state = .none }
      switch state {
      case .underWay: return launched().map { .recorded($0) } ?? .refused
      case .refused: return .refused
      case .ended, .none: return .ended
      }
    }
  }

  /// Ends the capture, and enqueues what it recorded; nil where that has come to nothing.
  private func launched() -> PreparedGraph? {
    let driver = libraries.driver
    guard let graph = captured() else { return nil }
    var handle: qlora_cuda_handle?
    let status = driver.graph_prepare(&handle, graph, 0)
    _ = driver.graph_destroy(graph)
    guard status == 0, let handle else { return nil }
    guard driver.graph_launch(handle, stream) == 0 else {
      _ = driver.prepared_destroy(handle)
      return nil
    }
    return PreparedGraph(self, handle)
  }

  private func captured() -> qlora_cuda_handle? {
    _ = libraries.driver.context_set(context)
    var graph: qlora_cuda_handle?
    let status = libraries.driver.capture_end(stream, &graph)
    // A capture that is still under way would swallow all that follows.
    if status != 0, !Self.refusals.contains(status) { fail("cuStreamEndCapture", status) }
    return status == 0 ? graph : nil
  }
}
