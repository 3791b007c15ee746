// How long the device takes for what is enqueued on its stream, by kernel and by shape of product:
// each call stands between two events. Copies on streams beside it have no times, and what waits
// for them none either. Source: NVIDIA, "CUDA Driver API", event management.
import CQLoRACUDA

/// All calls of one kind while they were timed.
package struct DeviceTime: Sendable {
  /// Of a kernel, a product with its shape, or a call of the driver.
  package let name: String
  package var count = 0
  package var milliseconds = 0.0
}

// SAFETY: the driver's handles, which any thread may use.
/// Calls between two events each, in their order.
struct CallTiming: @unchecked Sendable {
  fileprivate struct Call {
    let name: String
    let start: qlora_cuda_handle
    let end: qlora_cuda_handle
  }

  fileprivate var calls: [Call] = []
}

extension CUDADevice {
  /// Calls that take the device's time.
  private static let timed: Set<String> = [
    "cuLaunchKernel", "cuMemsetD8Async", "cuMemcpyDtoDAsync", "cuMemcpyHtoDAsync",
    "cuMemcpyDtoHAsync", "cublasLtMatmul", "cuGraphLaunch",
  ]
  /// Those of which the detail says more than the call.
  private static let named: Set<String> = ["cuLaunchKernel", "cublasLtMatmul"]

  /// Times every call from now on. The events take a little time themselves.
  package func beginTiming() {
    if isHollow { return }
    timing.withLock { $0 = $0 ?? CallTiming() }
  }

  /// Waits until the device is done.
  /// - Returns: what took its time since `beginTiming()`, the longest first.
  package func endTiming() -> [DeviceTime] {
    let calls = timing.withLock { timing in
      defer { timing = nil }
      return timing?.calls ?? []
    }
    synchronize()
    var times: [String: DeviceTime] = [:]
    // A lost device's events have no times, and end all the same.
    let driver = libraries.driver
    for call in calls {
      var milliseconds: Float = 0
      if driver.event_elapsed(&milliseconds, call.start, call.end) == 0 {
        times[call.name, default: DeviceTime(name: call.name)].count += 1
        times[call.name]?.milliseconds += Double(milliseconds)
      }
      for event in [call.start, call.end] { _ = driver.event_destroy(event) }
    }
    return times.values.sorted { ($1.milliseconds, $0.name) < ($0.milliseconds, $1.name) }
  }

  /// Makes a call, between two events where times are wanted. A graph that is being recorded has no
  /// times.
  func timed(
    _ call: String, _ detail: () -> String, _ body: (qlora_cuda_driver) -> Int32
  ) -> Int32 {
    let driver = libraries.driver
    guard timing.withLock({ $0 != nil }), Self.timed.contains(call),
      recording.withLock({ $0 }) != .underWay, let start = passedEvent(driver)
    else { return body(driver) }
    let status = body(driver)
    let name = Self.named.contains(call) ? detail() : call
    let end = passedEvent(driver)
    let isKept = timing.withLock { timing in
      guard let end, timing != nil else { return false }
      timing?.calls.append(CallTiming.Call(name: name, start: start, end: end))
      return true
    }
    if !isKept { for event in [start, end] { _ = event.map(driver.event_destroy) } }
    return status
  }

  /// An event that the stream passes behind all that is enqueued by now.
  private func passedEvent(_ driver: qlora_cuda_driver) -> qlora_cuda_handle? {
    var made: qlora_cuda_handle?
    guard driver.event_create(&made, 0) == 0, let event = made else { return nil }
    if driver.event_record(event, stream) == 0 { return event }
    _ = driver.event_destroy(event)
    return nil
  }
}
