// Autodiff-lite: a list of coarse operations, run backwards once. It is not a graph compiler; each
// record is a whole matrix or batch of work, so the tape itself costs nothing.

/// Where backward passes collect the gradient of one value. Records hold places rather than
/// variables, so that a value which no gradient needs is freed while the tape still lives.
package final class GradientPlace {
  package let shape: Shape
  package let isWanted: Bool
  /// float32, of `shape`; nil until something adds to it.
  var gradient: Tensor?

  init(_ shape: Shape, isWanted: Bool) {
    self.shape = shape
    self.isWanted = isWanted
  }
}

/// A value of the forward pass and the place of its gradient.
package final class Variable {
  package let value: Tensor
  package let place: GradientPlace
  /// Makes the value again, where that costs less than keeping it until backward.
  let remake: (() -> Tensor)?

  package init(_ value: Tensor, needsGradient: Bool = false, remake: (() -> Tensor)? = nil) {
    self.value = value
    self.remake = remake
    place = GradientPlace(value.shape, isWanted: needsGradient)
  }

  package var needsGradient: Bool { place.isWanted }

  /// For a record that needs the value: what gives it back in backward.
  var kept: () -> Tensor {
    if let remake { return remake }
    let value = value
    return { value }
  }
}

/// Records operations in forward order and replays their gradients in reverse.
///
/// A record owns what its gradient needs; replaying drops it, so memory shrinks as backward runs.
package final class Tape {
  package let backend: any Backend
  /// Off for evaluation and generation: operations then keep nothing.
  package let isRecording: Bool
  /// Whether nothing of this pass is ever differentiated. The first run of a checkpoint records
  /// nothing either, but is training.
  let isInference: Bool
  private var records: [() -> Void] = []

  package convenience init(backend: any Backend, isRecording: Bool = true) {
    self.init(backend: backend, isRecording: isRecording, isInference: !isRecording)
  }

  init(backend: any Backend, isRecording: Bool, isInference: Bool) {
    self.backend = backend
    self.isRecording = isRecording
    self.isInference = isInference
  }

  /// A result of an operation whose inputs are `inputs`, with a gradient wanted where any of
  /// theirs is (or where the operation has trainable parameters of its own).
  package func output(
    _ value: Tensor, of inputs: [Variable], hasParameters: Bool = false,
    remake: (() -> Tensor)? = nil
  ) -> Variable {
    let isWanted = isRecording && (hasParameters || inputs.contains(where: \.needsGradient))
    return Variable(value, needsGradient: isWanted, remake: isRecording ? remake : nil)
  }

  /// Keeps `backward` for the reverse pass if `output` takes part in it.
  package func record(_ output: Variable, _ backward: @escaping () -> Void) {
    if output.needsGradient { records.append(backward) }
  }

  /// Runs the reverse pass from the gradient of `variable`, which must have been set or added.
  package func runBackward() {
    while let backward = records.popLast() { backward() }
  }
}

// MARK: Gradients
extension Tape {
  /// The gradient collected at `place`, handed over: the place forgets it. nil where nothing
  /// downstream used the value.
  func takeGradient(at place: GradientPlace) -> Tensor? {
    defer { place.gradient = nil }
    return place.gradient
  }

  package func takeGradient(of variable: Variable) -> Tensor? { takeGradient(at: variable.place) }

  /// The same, in memory that nobody else refers to: for operations that work in place.
  func takeOwnGradient(at place: GradientPlace) -> Tensor? {
    guard place.gradient != nil else { return nil }
    _ = gradientTarget(at: place)
    return takeGradient(at: place)
  }

  /// Adds `gradient` to what `place` has; the first one is kept without a copy.
  func accumulate(_ gradient: Tensor, at place: GradientPlace) {
    guard place.isWanted else { return }
    if place.gradient == nil {
      place.gradient = gradient
    } else {
      let (target, _) = gradientTarget(at: place)
      backend.add(target, gradient, into: target)
    }
  }

  package func accumulate(_ gradient: Tensor, into variable: Variable) {
    accumulate(gradient, at: variable.place)
  }

  /// Memory for an operation to write its gradient into: `accumulating` says whether it holds a sum
  /// already. Shared memory is copied first, because a sibling may still read it.
  func gradientTarget(at place: GradientPlace) -> (tensor: Tensor, accumulating: Bool) {
    guard var existing = place.gradient else {
      let fresh = backend.allocate(place.shape, .float32)
      place.gradient = fresh
      return (fresh, false)
    }
    place.gradient = nil
    if !existing.isUniquelyReferenced() {
      let copy = backend.allocate(existing.shape, .float32)
      backend.convert(existing, into: copy)
      existing = copy
    }
    place.gradient = existing
    return (existing, true)
  }

  package func gradientTarget(of variable: Variable) -> (tensor: Tensor, accumulating: Bool) {
    gradientTarget(at: variable.place)
  }
}
