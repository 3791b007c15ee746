// What a transformer of images is given: noisy latents, prompts, and how noisy they are.
import QLoRATensor

/// Samples side by side, of whatever sizes.
package struct ImageInput {
  /// Of each sample.
  package var grids: [PatchGrid]
  /// `[image rows, patch width]` float32, channels first.
  package var patches: Tensor
  /// `[text rows, prompt width]` float32.
  package var prompts: Tensor
  /// Rows of each sample's prompt.
  package var promptLengths: [Int]
  /// `[samples, pooled width]` float32.
  package var pooled: Tensor
  /// Of each sample: 0 = no noise, 1 = nothing else.
  package var sigmas: [Float]
  /// Of each sample; counts in models that embed it.
  package var guidances: [Float]

  package init(
    grids: [PatchGrid], patches: Tensor, prompts: Tensor, promptLengths: [Int], pooled: Tensor,
    sigmas: [Float], guidances: [Float]
  ) {
    self.grids = grids
    self.patches = patches
    self.prompts = prompts
    self.promptLengths = promptLengths
    self.pooled = pooled
    self.sigmas = sigmas
    self.guidances = guidances
  }

  /// Sample `s` has image rows `imageBounds[s] ..< imageBounds[s+1]`.
  package var imageBounds: [Int] { grids.reduce(into: [0]) { $0.append($0.last! + $1.count) } }
  var promptBounds: [Int] { promptLengths.reduce(into: [0]) { $0.append($0.last! + $1) } }
}

/// The forward code of one family.
protocol ImageArchitecture {
  var size: ImageModelSize { get }
  var blockCount: Int { get }
  /// Of frozen tables that are no linears.
  var tableBytes: Int { get }

  /// The velocity `[image rows, patch width]`, in `size.outputOrder`.
  /// - Parameter recomputed: how many blocks, from the first on, backward computes again.
  func velocity(
    _ input: ImageInput, recomputed: Int, on tape: Tape, linears: LinearTable, dtype: DType,
    dropout: DropoutContext?
  ) -> Variable
}

/// What the inputs of a model must be like.
package struct ImageModelSize: Sendable, Hashable {
  package var channels: Int
  package var patchEdge: Int
  package var promptWidth: Int
  package var pooledWidth: Int
  package var outputOrder: PatchGrid.Order
  /// Rows and columns of patches at most; nil where there is no end.
  package var largestGrid: Int?
  package var embedsGuidance: Bool
}
