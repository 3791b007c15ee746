// A transformer of images as the trainer sees it. A batch's tokens are the places of its samples
// among the files, one for each row of text and image; which one a sequence is says its first.
import QLoRATensor

package final class ImageTrainee: TrainableModel {
  package let model: ImageModel
  private let files: LatentFiles
  private let flow: FlowMatching

  package init(_ model: ImageModel, _ files: LatentFiles, _ flow: FlowMatching) {
    self.model = model
    self.files = files
    self.flow = flow
  }

  package var parameters: [Parameter] { model.parameters }

  /// How far a step has come, where memory may be looked at.
  package enum Stage: Sendable {
    case forward, loss, backward
  }

  package func accumulateGradients(_ batch: TokenBatch, dropoutStream: UInt64) throws -> Double {
    try accumulateGradients(batch, dropoutStream: dropoutStream) { _ in }
  }

  /// As above, telling `reached` where it is.
  package func accumulateGradients(
    _ batch: TokenBatch, dropoutStream: UInt64, reached: (Stage) -> Void
  ) throws -> Double {
    let step = try step(batch, stream: dropoutStream)
    let tape = Tape(backend: model.backend)
    let velocity = model.velocity(
      step.input, on: tape,
      dropout: DropoutContext(seed: model.dropoutSeed, stream: dropoutStream))
    reached(.forward)
    let sum = tape.squaredError(
      velocity, target: step.target, weights: step.weights, bounds: step.input.imageBounds)
    reached(.loss)
    tape.runBackward()
    reached(.backward)
    return sum
  }

  /// Every evaluation meets the same noise.
  package func lossSum(_ batch: TokenBatch) throws -> Double {
    let step = try step(batch, stream: .max)
    let tape = Tape(backend: model.backend, isRecording: false)
    return tape.squaredError(
      model.velocity(step.input, on: tape), target: step.target, weights: step.weights,
      bounds: step.input.imageBounds)
  }

  private struct Step {
    var input: ImageInput
    /// `[image rows, patch width]`, in the order of the model's output.
    var target: Tensor
    var weights: [Float]
  }

  /// Samples with their noise. In an evaluation it depends on the sample, not on its batch.
  private func step(_ batch: TokenBatch, stream: UInt64) throws -> Step {
    let places = batch.bounds.dropLast().map { Int(batch.tokens[$0]) }
    let size = model.size
    var (noisy, targets, prompts, pooled): ([Float], [Float], [Float], [Float]) =
      ([], [], [], [])
    var (sigmas, weights): ([Float], [Float]) = ([], [])
    for (index, place) in places.enumerated() {
      let grid = files.samples[place].grid
      let values = try files.values(place)
      var random = flow.generator(stream: stream, index: stream == .max ? place : index)
      let sigma = flow.sigma(&random)
      let noise = FlowMatching.normals(values.patches.count, &random).map { Float($0) }
      noisy += zip(values.patches, noise).map { (1 - sigma) * $0 + sigma * $1 }
      let velocity = zip(values.patches, noise).map { $1 - $0 }
      targets +=
        size.outputOrder == .channelsFirst
        ? velocity : grid.patches(grid.latent(velocity, .channelsFirst), size.outputOrder)
      prompts += values.prompt
      pooled += values.pooled
      sigmas.append(sigma)
      weights.append(flow.weight(sigma))
    }
    let samples = places.map { files.samples[$0] }
    let rows = samples.reduce(0) { $0 + $1.grid.count }
    let width = size.channels * size.patchEdge * size.patchEdge
    let input = ImageInput(
      grids: samples.map(\.grid), patches: Tensor(noisy, shape: [rows, width]),
      prompts: Tensor(prompts, shape: [prompts.count / size.promptWidth, size.promptWidth]),
      promptLengths: samples.map(\.promptLength),
      pooled: Tensor(pooled, shape: [samples.count, size.pooledWidth]), sigmas: sigmas,
      guidances: samples.map { _ in Float(flow.guidance) })
    return Step(input: input, target: Tensor(targets, shape: [rows, width]), weights: weights)
  }
}

extension LatentFiles {
  /// Samples as one micro-batch.
  package func batch(_ places: [Int]) -> TokenBatch {
    let lengths = places.map { samples[$0].rowCount }
    let bounds = lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    return TokenBatch(
      tokens: zip(places, lengths).flatMap { Array(repeating: Int32($0), count: $1) },
      positions: lengths.flatMap { 0..<Int32($0) }, bounds: bounds,
      rows: bounds.dropLast().map { Int32($0) }, targets: places.map { Int32($0) })
  }
}
