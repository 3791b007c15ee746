// Autodiff-lite: a list of coarse operations, run backwards once. It is not a graph compiler; each
// record is a whole matrix or batch of work, so the tape itself costs nothing.

/// A value of the forward pass and, where wanted, the gradient that backward passes collect for it.
package final class Variable {
  package let value: Tensor
  package let needsGradient: Bool
  /// float32, of the value's shape; nil until something adds to it.
  fileprivate var gradient: Tensor?

  package init(_ value: Tensor, needsGradient: Bool = false) {
    self.value = value
    self.needsGradient = needsGradient
  }
}

/// Records operations in forward order and replays their gradients in reverse.
///
/// A record owns what its gradient needs; replaying drops it, so memory shrinks as backward runs.
package final class Tape {
  package let backend: any Backend
  /// Off for evaluation and generation: operations then keep nothing.
  package let isRecording: Bool
  private var records: [() -> Void] = []

  package init(backend: any Backend, isRecording: Bool = true) {
    self.backend = backend
    self.isRecording = isRecording
  }

  /// A result of an operation whose inputs are `inputs`, with a gradient wanted where any of
  /// theirs is (or where the operation has trainable parameters of its own).
  package func output(
    _ value: Tensor, of inputs: [Variable], hasParameters: Bool = false
  ) -> Variable {
    let isWanted = hasParameters || inputs.contains(where: \.needsGradient)
    return Variable(value, needsGradient: isRecording && isWanted)
  }

  /// Keeps `backward` for the reverse pass if `output` takes part in it.
  package func record(_ output: Variable, _ backward: @escaping () -> Void) {
    if output.needsGradient { records.append(backward) }
  }

  /// Runs the reverse pass from the gradients that variables have by now: the loss forms its own,
  /// others are given by `accumulate`. Records are used up.
  package func runBackward() {
    while let backward = records.popLast() { backward() }
  }
}

// MARK: Gradients
extension Tape {
  /// The gradient collected for `variable`, handed over: the variable forgets it. nil where nothing
  /// downstream used the value.
  package func takeGradient(of variable: Variable) -> Tensor? {
    defer { variable.gradient = nil }
    return variable.gradient
  }

  /// The same, in memory that nobody else refers to: for operations that work in place.
  package func takeOwnGradient(of variable: Variable) -> Tensor? {
    guard variable.gradient != nil else { return nil }
    _ = gradientTarget(of: variable)
    return takeGradient(of: variable)
  }

  /// Adds `gradient` to what `variable` has; the first one is kept without a copy.
  package func accumulate(_ gradient: Tensor, into variable: Variable) {
    guard variable.needsGradient else { return }
    if variable.gradient == nil {
      variable.gradient = gradient
    } else {
      let (target, _) = gradientTarget(of: variable)
      backend.add(target, gradient, into: target)
    }
  }

  /// Memory for an operation to write its gradient into: `accumulating` says whether it holds a sum
  /// already. Shared memory is copied first, because a sibling may still read it.
  package func gradientTarget(of variable: Variable) -> (tensor: Tensor, accumulating: Bool) {
    guard var existing = variable.gradient else {
      let fresh = backend.allocate(variable.value.shape, .float32)
      variable.gradient = fresh
      return (fresh, false)
    }
    variable.gradient = nil
    if !existing.isUniquelyReferenced() {
      let copy = backend.allocate(existing.shape, .float32)
      backend.convert(existing, into: copy)
      existing = copy
    }
    variable.gradient = existing
    return (existing, true)
  }
}

// MARK: Checkpointing
extension Tape {
  /// Runs `body` without keeping its intermediate values and runs it again during backward.
  /// Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
  package func checkpoint(
    _ input: Variable, _ body: @escaping (Tape, Variable) -> Variable
  ) -> Variable {
    guard isRecording else { return body(self, input) }
    let silent = Tape(backend: backend, isRecording: false)
    let result = output(
      body(silent, Variable(input.value)).value, of: [input], hasParameters: true)
    record(result) { [self] in
      guard let gradient = takeGradient(of: result) else { return }
      let inner = Tape(backend: backend)
      let innerInput = Variable(input.value, needsGradient: input.needsGradient)
      let innerOutput = body(inner, innerInput)
      inner.accumulate(gradient, into: innerOutput)
      inner.runBackward()
      if let inputGradient = inner.takeGradient(of: innerInput) {
        accumulate(inputGradient, into: input)
      }
    }
    return result
  }
}
