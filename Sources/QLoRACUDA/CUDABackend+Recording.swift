// Steps of generation as graphs: a step enqueues the same kernels for every token, so it is
// recorded once and launched as one from then on. Kernels read the token and its position from the
// device's memory, where a step writes them first; what a step borrows is the graph's own.
import CQLoRACUDA
import QLoRATensor
import Synchronization

/// A step while it is recorded.
final class StepRecording: Sendable {
  let place: StepPlace
  /// Of the token and its position on the device, `[2]` int32.
  let memory: Tensor
  let pool: DevicePool
  /// Whether the token was looked up.
  let hasToken = Mutex(false)

  /// Taken from the driver at once: a step's activations are those of one row.
  private static let growthBytes = 4 << 20

  init(_ place: StepPlace, _ backend: CUDABackend) {
    self.place = place
    pool = DevicePool(backend.device, growthBytes: Self.growthBytes, isOptional: true)
    memory = backend.tensor([2], .int32, pool)
  }
}

/// A step that can be done again.
private final class GraphStep: RecordedStep {
  private let graph: PreparedGraph
  private let backend: CUDABackend
  private let recording: StepRecording
  private let result: Tensor

  init(
    _ backend: CUDABackend, _ graph: PreparedGraph, _ recording: StepRecording, _ result: Tensor
  ) {
    self.backend = backend
    self.graph = graph
    self.recording = recording
    self.result = result
  }

  func run(_ place: StepPlace) -> Tensor {
    backend.set(recording, place)
    graph.launch()
    // A copy that the host may have is of the step before.
    _ = backend.write(result)
    return result
  }
}

extension CUDABackend: StepRecorder {
  package func record(
    _ place: StepPlace, _ body: () -> Tensor
  ) -> (result: Tensor, step: (any RecordedStep)?) {
    let recording = StepRecording(place, self)
    guard recording.pool.statistics.takenBytes > 0 else { return (body(), nil) }
    set(recording, place)
    guard device.beginRecording() else { return (body(), nil) }
    recordedStep.withLock { $0 = recording }
    let result = body()
    recordedStep.withLock { $0 = nil }
    switch device.endRecording() {
    case .ended: return (result, nil)
    case .refused: return (body(), nil)
    case .recorded(let graph):
      let hasToken = recording.hasToken.withLock { $0 }
      return (result, hasToken ? GraphStep(self, graph, recording, result) : nil)
    }
  }

  fileprivate func set(_ recording: StepRecording, _ place: StepPlace) {
    kernels.launch(
      "qlora_set_place", grid: (1, 1, 1), threads: 32,
      [write(recording.memory), place.token, place.position])
  }

  // MARK: What operations ask

  /// The device's place of the token, where that is what is looked up by the step under way; a
  /// second look-up, such as that of a learned position, ends the recording.
  func recordedToken(_ tokens: [Int32]) -> DeviceAddress? {
    guard let step = recordedStep.withLock({ $0 }) else { return nil }
    let isFirst = step.hasToken.withLock { hasToken in
      defer { hasToken = true }
      return !hasToken
    }
    guard isFirst, tokens == [step.place.token] else {
      device.stopRecording()
      return nil
    }
    return read(step.memory)
  }

  /// The device's place of the position, where that is the step's.
  func recordedPosition(_ positions: [Int32]) -> DeviceAddress? {
    guard let step = recordedStep.withLock({ $0 }) else { return nil }
    guard positions == [step.place.position] else {
      device.stopRecording()
      return nil
    }
    return read(step.memory) + DeviceAddress(MemoryLayout<Int32>.stride)
  }

  package func store(_ rows: Tensor, in cache: Tensor, at first: Int) {
    precondition(rows.shape[1] == cache.shape[1] && first + rows.shape[0] <= cache.shape[0])
    let place = rows.shape[0] == 1 ? recordedPosition([Int32(first)]) : nil
    launch(
      "qlora_store_rows", over: rows.count,
      [
        read(rows), rows.dtype.element, write(cache), cache.dtype.element, place ?? 0,
        Int32(first), rows.count, rows.shape[1],
      ])
  }
}
