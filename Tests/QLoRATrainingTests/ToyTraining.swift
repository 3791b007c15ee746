// A model, a backend, batches and a file codec small enough that a whole run takes a millisecond,
// and strange enough that any bit out of place shows.
import Foundation
import QLoRACPU
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor
import QLoRATraining

/// Plain loops over float32 for AdamW; the rest is the CPU's.
final class ToyBackend: OptimizerBackend {
  private let cpu: CPUBackend?

  /// - Parameter threads: nil where AdamW is all that is wanted.
  init(threads: Int? = nil) throws {
    cpu = try threads.map { try CPUBackend(threads: $0) }
  }

  func adamW(_ updates: [ParameterUpdate], _ step: AdamWStep) {
    if let cpu { return cpu.adamW(updates, step) }
    for update in updates { adamW(update, step) }
  }

  private func adamW(_ update: ParameterUpdate, _ step: AdamWStep) {
    let (parameter, gradient) = (update.parameter, update.gradient)
    let (firstMoment, secondMoment) = (update.moments[0].values, update.moments[1].values)
    let first = 1 - pow(step.beta1, Double(step.step))
    let second = 1 - pow(step.beta2, Double(step.step))
    for index in 0..<parameter.count {
      let g = Double(gradient[flat: index])
      let m = step.beta1 * Double(firstMoment[flat: index]) + (1 - step.beta1) * g
      let v = step.beta2 * Double(secondMoment[flat: index]) + (1 - step.beta2) * g * g
      firstMoment[flat: index] = Float(m)
      secondMoment[flat: index] = Float(v)
      let decayed = Double(parameter[flat: index]) * (1 - step.learningRate * step.weightDecay)
      let change = m / first / ((v / second).squareRoot() + step.epsilon)
      parameter[flat: index] = Float(decayed - step.learningRate * change)
    }
  }

  func lion(_ updates: [ParameterUpdate], _ step: LionStep) { cpu?.lion(updates, step) }

  func sgd(_ updates: [ParameterUpdate], _ step: SGDStep) { cpu?.sgd(updates, step) }

  func sumOfSquares(_ tensor: Tensor) -> Double {
    tensor.floats().reduce(0) { $0 + Double($1) * Double($1) }
  }

  func scale(_ tensor: Tensor, by factor: Float) {
    for index in 0..<tensor.count { tensor[flat: index] *= factor }
  }
}

/// Predicts each target from its token by two small matrices, with dropout; squared error.
final class ToyModel: TrainableModel {
  let a: Parameter
  let b: Parameter
  /// Calls of `accumulateGradients` so far; `onCall` sees the number of each, from 0.
  private(set) var callCount = 0
  /// The optimizer step that `onCall` is in.
  private(set) var step = 0
  private let onCall: (ToyModel, Int) -> Void
  /// Added to the loss and to one gradient.
  var lossOffset = 0.0
  var gradientOffset: Float = 0

  /// - Parameter width: elements of B, a multiple of 4.
  init(width: Int = 16, onCall: @escaping (ToyModel, Int) -> Void = { _, _ in }) {
    self.onCall = onCall
    a = Parameter(
      name: "toy.lora_A.weight",
      value: Tensor((0..<32).map { Float($0 * 13 % 17) / 17 - 0.4 }, shape: [8, 4]))
    b = Parameter(name: "toy.lora_B.weight", value: Tensor(zeros: [width]))
  }

  var parameters: [Parameter] { [a, b] }

  func accumulateGradients(_ batch: TokenBatch, dropoutStream: UInt64) throws -> Double {
    step = Int(dropoutStream >> 24)
    onCall(self, callCount)
    callCount += 1
    b.gradient[flat: 3] += gradientOffset
    return loss(batch, dropoutStream: dropoutStream, withGradients: true) + lossOffset
  }

  func lossSum(_ batch: TokenBatch) throws -> Double {
    loss(batch, dropoutStream: nil, withGradients: false)
  }

  private func loss(
    _ batch: TokenBatch, dropoutStream: UInt64?, withGradients: Bool
  ) -> Double {
    var sum = 0.0
    // Four rows of B, or rows in several blocks of a wide one.
    let stride = b.value.count == 16 ? 4 : 252
    for (row, target) in zip(batch.rows, batch.targets) {
      let aRow = Int(batch.tokens[Int(row)]) % 8 * 4
      let bRow = Int(batch.positions[Int(row)]) * stride % b.value.count
      var prediction: Float = 0
      for j in 0..<4 where keeps(dropoutStream, Int(row), j) {
        prediction += a.value[flat: aRow + j] * (b.value[flat: bRow + j] + 0.3)
      }
      let difference = prediction - Float(target) / 10
      sum += Double(difference * difference)
      guard withGradients else { continue }
      for j in 0..<4 where keeps(dropoutStream, Int(row), j) {
        a.gradient[flat: aRow + j] += 2 * difference * (b.value[flat: bRow + j] + 0.3)
        b.gradient[flat: bRow + j] += 2 * difference * a.value[flat: aRow + j]
      }
    }
    return sum
  }

  private func keeps(_ stream: UInt64?, _ row: Int, _ j: Int) -> Bool {
    guard let stream else { return true }
    let mixed = (stream &* 0x9E37_79B9_7F4A_7C15) ^ (UInt64(row * 4 + j) &* 0xBF58_476D_1CE4_E5B9)
    return (mixed >> 33) % 10 != 0
  }
}

/// Batches as a pure function of the step.
struct ToyBatches: BatchSource {
  var stepCount = 6
  var accumulation = 3

  func microBatches(step: Int) -> [TokenBatch] {
    (0..<accumulation).map { Self.batch(seed: step * 31 + $0) }
  }

  static func batch(seed: Int) -> TokenBatch {
    let length = 3 + seed % 5
    let tokens = (0..<length).map { Int32((seed * 7 + $0 * 5) % 23) }
    return TokenBatch(
      tokens: tokens, positions: (0..<length).map { Int32($0) }, bounds: [0, length],
      rows: (0..<length - 1).map { Int32($0) }, targets: Array(tokens.dropFirst()))
  }
}

/// A line of JSON, then the elements of the tensors.
struct ToyCodec: TensorFileCodec {
  func encode(
    _ tensors: [NamedTensor], metadata: [(name: String, value: String)],
    into write: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let header = JSONValue.list(
      tensors.map {
        .dictionary([
          ("name", .string($0.name)), ("shape", .list($0.tensor.shape.extents.map { .int($0) })),
          ("dtype", .string($0.tensor.dtype.rawValue)),
        ])
      })
    try Array((JSONWriter.text(header) + "\n").utf8).withUnsafeBytes(write)
    for named in tensors { try named.tensor.withBytes(write) }
  }

  func decode(_ bytes: [UInt8], file: String) throws -> [NamedTensor] {
    let end = bytes.firstIndex(of: UInt8(ascii: "\n")) ?? 0
    var offset = end + 1
    return try (JSONValue(parsing: bytes[..<end]).arrayValue ?? []).map { item in
      let extents = item["shape"]?.arrayValue?.compactMap(\.intValue) ?? []
      let dtype = item["dtype"]?.stringValue.flatMap(DType.init) ?? .float32
      let count = Shape(extents).count * dtype.byteSize
      defer { offset += count }
      let content = Array(bytes[offset..<offset + count])
      return NamedTensor(
        item["name"]?.stringValue ?? "",
        Tensor(bytes: content, shape: Shape(extents), dtype: dtype))
    }
  }
}

/// One way to train the toy.
struct ToyRun {
  var stepCount = 6
  var accumulation = 3
  var shape = LearningRateSchedule.Shape.cosine
  var evalEvery = 3
  var saveEvery = 2
  var keep = 2
  var weightDecay = 0.1
  /// nil = AdamW in plain loops.
  var optimizer: OptimizerOptions?
  var threads = 1
  var width = 16
  var maximumGradientNorm = 1.0
  var onNonFinite = NonFinitePolicy.halt
  var identity = "one"
  var device = "toy"
  /// nil = the real one, without waiting for the disk.
  var fileSystem: (any FileSystem)?

  func inputs(_ model: ToyModel) throws -> TrainingInputs {
    TrainingInputs(
      model: model, backend: try ToyBackend(threads: optimizer == nil ? nil : threads),
      batches: ToyBatches(stepCount: stepCount, accumulation: accumulation),
      validation: evalEvery == 0 ? [] : (0..<3).map { ToyBatches.batch(seed: 1_000 + $0) },
      artifacts: CheckpointArtifacts(
        codec: ToyCodec(), adapterConfiguration: Array("{}\n".utf8),
        identity: [.init("recipe", identity)],
        provenance: [.init("tool", "toy"), .init(CheckpointArtifacts.deviceFact, device)]))
  }

  var options: TrainingOptions {
    TrainingOptions(
      optimizer: optimizer ?? .adamW(AdamWOptions(weightDecay: weightDecay)),
      schedule: LearningRateSchedule(
        shape: shape, peak: 0.05, warmupSteps: 2, stepCount: stepCount),
      maximumGradientNorm: maximumGradientNorm, evalEvery: evalEvery, saveEvery: saveEvery,
      keep: keep, onNonFinite: onNonFinite)
  }

  /// Trains in `path`, starting or resuming as the directory asks for.
  func train(
    _ path: String, model: ToyModel? = nil,
    events: @escaping TrainingEventSink = { _ in }, interruption: @escaping () -> Int32? = { nil }
  ) throws -> TrainingOutcome {
    let fileSystem = fileSystem ?? FaultingFileSystem()
    let hasCheckpoint = try !CheckpointStore(path + "/checkpoints", fileSystem).steps().isEmpty
    let run = try hasCheckpoint
      ? RunDirectory(resuming: path, fileSystem) : RunDirectory(starting: path, fileSystem)
    return try Trainer(
      inputs(model ?? ToyModel(width: width)), options: options, run: run, events: events,
      interruption: interruption
    ).train()
  }
}

/// Everything of a finished run that must not depend on interruptions.
struct ToyResult: Equatable {
  var adapter: [UInt8]
  var optimizer: [UInt8]
  var metrics: [String]

  init(_ path: String) throws {
    let real = PosixFileSystem()
    let store = CheckpointStore(path + "/checkpoints")
    let newest = try store.newestIntact()
    let directory = newest?.path ?? ""
    adapter = try real.readAll(directory + "/" + CheckpointFile.adapter)
    optimizer = try real.readAll(directory + "/" + CheckpointFile.optimizer)
    let timeKeys = ["tokensPerSecond", "peakMemoryBytes", "elapsedSeconds"]
    metrics = try real.readAll(path + "/metrics.jsonl").split(separator: UInt8(ascii: "\n")).map {
      let members = try JSONValue(parsing: $0).objectMembers ?? []
      return JSONWriter.text(.object(members.filter { !timeKeys.contains($0.key) }))
    }
  }
}

/// Counts down and then asks to stop, once.
final class StopAfter {
  private var polls: Int
  private(set) var hasFired = false

  init(polls: Int) { self.polls = polls }

  func poll() -> Int32? {
    if polls == 0 { hasFired = true }
    polls -= 1
    return polls < 0 ? 15 : nil
  }
}
