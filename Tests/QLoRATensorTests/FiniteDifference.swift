// The slope of a double-precision forward, and the making of dense weights: what the gradient
// tests compare with and run on.
import QLoRATensor
import TestSupport
import Testing

/// Compares a gradient with central differences of `loss` at `point`, on top of what the gradient
/// held before.
func expectSlope(
  _ gradient: [Float], at point: [Float], startingFrom initial: [Float], _ name: String,
  sourceLocation: SourceLocation = #_sourceLocation, of loss: ([Double]) -> Double
) {
  // The truncation error is of the order of h², the rounding error of 2⁻⁵³ / h: both near 1e-10.
  let h = 1e-5
  var values = point.map { Double($0) }
  #expect(gradient.count == point.count, "\(name)", sourceLocation: sourceLocation)
  for index in values.indices {
    let value = values[index]
    values[index] = value + h
    let above = loss(values)
    values[index] = value - h
    let below = loss(values)
    values[index] = value
    let expected = (above - below) / (2 * h) + Double(initial[index])
    // fp32 sums of a few dozen terms of order one.
    let tolerance = 1e-5 * max(1, abs(expected))
    #expect(
      abs(Double(gradient[index]) - expected) <= tolerance, "\(name) at \(index)",
      sourceLocation: sourceLocation)
  }
}

/// A random variable with a gradient of its own before the operation's.
struct SlopeInput {
  let point: [Float]
  let initial: [Float]
  let variable: Variable

  init(_ shape: Shape, _ tape: Tape, _ generator: inout SeededGenerator) {
    point = generator.normals(shape.count)
    initial = generator.normals(shape.count)
    variable = Variable(Tensor(point, shape: shape), needsGradient: true)
    tape.accumulate(Tensor(initial, shape: shape), into: variable)
  }

  var doubles: [Double] { point.map { Double($0) } }

  func expectGradient(
    _ name: String, on tape: Tape, sourceLocation: SourceLocation = #_sourceLocation,
    of loss: ([Double]) -> Double
  ) {
    expectSlope(
      tape.takeGradient(of: variable)?.floats() ?? [], at: point, startingFrom: initial, name,
      sourceLocation: sourceLocation, of: loss)
  }
}

/// `Σ left·right`.
func dot(_ left: [Double], _ right: [Float]) -> Double {
  zip(left, right).reduce(0) { $0 + $1.0 * Double($1.1) }
}

/// `x·Wᵀ` of `x [tokens, in]` and `W [out, in]`.
func product(_ x: [Double], _ weight: [Double], in inFeatures: Int) -> [Double] {
  stride(from: 0, to: x.count, by: inFeatures).flatMap { row in
    stride(from: 0, to: weight.count, by: inFeatures).map { out in
      (0..<inFeatures).reduce(0) { $0 + x[row + $1] * weight[out + $1] }
    }
  }
}

extension Backend {
  /// A dense float32 weight of `shape [out, in]`.
  func denseWeight(_ values: [Float], shape: Shape) throws -> any PreparedWeight {
    let builder = try makeWeightBuilder(
      outFeatures: shape[0], inFeatures: shape[1], .dense(.float32))
    try values.withUnsafeBufferPointer { try builder.append($0) }
    return try builder.finish()
  }
}
