// A block with a stream of text and a stream of image, each with weights of its own, that meet in
// one attention: the blocks of Stable Diffusion 3, and the first ones of FLUX.1.
// Source: Esser et al. 2024, arXiv:2403.03206, section 4 and figure 2.
import QLoRATensor

/// What one stream has for itself in a block.
struct JointStream: Sendable {
  /// Of the vectors that modulate the norms, and gate what is added.
  var modulation: LinearPlace
  var inputs: AttentionInputs
  /// nil where nothing of the stream is used after the block.
  var rest: Rest?
  /// The image's attention to itself alone, in blocks that have one.
  var second: Second?

  struct Rest: Sendable {
    var attentionOutput: LinearPlace
    var up: LinearPlace
    var down: LinearPlace
  }

  struct Second: Sendable {
    var inputs: AttentionInputs
    var output: LinearPlace
  }

  /// How many vectors `modulation` makes.
  var vectorCount: Int { rest == nil ? 2 : second == nil ? 6 : 9 }
}

struct JointBlock: Sendable {
  var text: JointStream
  var image: JointStream
  var attention: AttentionLayout
  /// The place of the image among the streams of the attention.
  var imageStream: Int

  /// - Parameters:
  ///   - text: `[text rows, hidden]`; `image [image rows, hidden]`.
  ///   - condition: `[samples, hidden]` float32.
  /// - Returns: image and text, the text only where it is used after the block.
  func forward(
    text: Variable, image: Variable, condition: Variable, rotation: RowRotation?,
    _ pass: ImagePass
  ) -> [Variable] {
    let textBounds = pass.layout.parts[1 - imageStream]
    let imageBounds = pass.layout.parts[imageStream]
    let textVectors = pass.modulation(condition, self.text.modulation, self.text.vectorCount)
    let imageVectors = pass.modulation(condition, self.image.modulation, self.image.vectorCount)
    // A stream that ends here has its scale before its shift.
    let (textShift, textScale) =
      self.text.rest == nil
      ? (textVectors[1], textVectors[0]) : (textVectors[0], textVectors[1])
    let textIn = pass.norm(text, textShift, textScale, textBounds)
    let imageIn = pass.norm(image, imageVectors[0], imageVectors[1], imageBounds)
    var streams = [
      self.text.inputs.project(textIn, attention, pass),
      self.image.inputs.project(imageIn, attention, pass),
    ]
    if imageStream == 0 { streams.swapAt(0, 1) }
    let attended = pass.attend(streams, attention, rotation: rotation)
    let newImage = self.image.finish(
      image, attended[imageStream], imageVectors, attention, imageBounds, pass)
    guard self.text.rest != nil else { return [newImage] }
    let newText = self.text.finish(
      text, attended[1 - imageStream], textVectors, attention, textBounds, pass)
    return [newImage, newText]
  }
}

extension JointStream {
  /// What follows the attention: the residuals of attention and MLP.
  /// - Parameter vectors: shift, scale, gate of the attention; of the MLP; of the second attention.
  fileprivate func finish(
    _ input: Variable, _ attended: Variable, _ vectors: [Variable], _ attention: AttentionLayout,
    _ bounds: [Int], _ pass: ImagePass
  ) -> Variable {
    guard let rest else { return input }
    var hidden = pass.tape.gatedAdd(
      input, pass.rows(attended, rest.attentionOutput), gate: vectors[2], bounds: bounds)
    if let second {
      let alone = second.inputs.project(
        pass.norm(input, vectors[6], vectors[7], bounds), attention, pass)
      let own = pass.attend(alone, attention, bounds: bounds, rotation: nil)
      hidden = pass.tape.gatedAdd(
        hidden, pass.rows(own, second.output), gate: vectors[8], bounds: bounds)
    }
    let expanded = pass.rows(
      pass.norm(hidden, vectors[3], vectors[4], bounds), rest.up)
    let contracted = pass.rows(pass.tape.activate(expanded, nil, .geluTanh), rest.down)
    return pass.tape.gatedAdd(hidden, contracted, gate: vectors[5], bounds: bounds)
  }
}

extension ImagePass {
  func norm(
    _ input: Variable, _ shift: Variable, _ scale: Variable, _ bounds: [Int]
  ) -> Variable {
    // Both families have the same epsilon in every such norm.
    tape.modulatedNorm(input, shift: shift, scale: scale, bounds: bounds, epsilon: 1e-6)
  }
}
