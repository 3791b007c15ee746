// What the trainer knows of an optimizer, and what all of them share. The arithmetic is the
// backend's.
import QLoRADiagnostics
import QLoRATensor

/// Turns the gradients of its parameters into updates.
package protocol Optimizer: AnyObject {
  /// Updates so far.
  var step: Int { get set }
  /// What must be saved, besides `step`, to continue with the same bits. The tensors share the
  /// optimizer's memory. Names are a parameter's name and PyTorch's word for the state, or, for
  /// states that PyTorch does not have, bitsandbytes'.
  var state: [NamedTensor] { get }
  /// One update from the gradients as they stand.
  func update(learningRate: Double)
  /// Lets go of the memory that states on the disk were read into by whoever used `state`.
  func releasePages()
}

extension Optimizer {
  package func releasePages() {}

  /// Takes the state of a checkpoint made after `step` updates.
  /// - Throws: a diagnostic where names, shapes or types differ; then nothing was changed.
  package func restore(
    _ tensors: [NamedTensor], step: Int, file: String
  ) throws(Diagnostic) {
    try TensorRestoration.copy(tensors, into: state, file: file)
    releasePages()
    self.step = step
  }
}

extension OptimizerMoment {
  /// The values and, where there are any, the scales under their names in checkpoints.
  func named(_ parameter: Parameter, _ values: String, _ scales: String) -> [NamedTensor] {
    [NamedTensor(parameter.name + "." + values, self.values)]
      + (self.scales.map { [NamedTensor(parameter.name + "." + scales, $0)] } ?? [])
  }
}
