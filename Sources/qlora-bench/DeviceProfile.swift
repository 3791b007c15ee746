// What takes the GPU's time, for `--profile`.
import ArgumentParser
import QLoRACUDA
import QLoRAPipeline

/// What took the GPU's time between `begin` and `end`, for each of `count` turns.
struct DeviceProfile {
  private let device: CUDADevice

  /// - Throws: where the model is not on a GPU.
  init(_ request: ModelRequest) throws {
    guard case .cuda(let device) = request.device else {
      throw ValidationError("--profile is for a GPU; `perf` shows where a processor's time goes")
    }
    self.device = device
  }

  func begin() { device.beginTiming() }

  func end(turns: Int) -> (String, String) {
    let times = device.endTiming().map { time in
      let milliseconds = rounded(time.milliseconds / Double(turns))
      return "{\"name\": \"\(time.name)\", "
        + "\"count\": \(rounded(Double(time.count) / Double(turns))), "
        + "\"milliseconds\": \(milliseconds)}"
    }
    return ("deviceTimes", "[" + times.joined(separator: ", ") + "]")
  }
}
