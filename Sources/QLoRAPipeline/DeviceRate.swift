// How fast a device is at calls that are enqueued together, and at the one that a step is held
// against: a large product of the model's own shape.
import QLoRACUDA
import QLoRAModels
import QLoRATensor

/// Times calls; of several rounds the fastest.
package struct EnqueuedCalls {
  private let backend: any Backend
  private let rounds: Int

  /// Enough that waiting for the end is little beside them.
  private static let calls = 10

  package init(_ backend: any Backend, rounds: Int) {
    self.backend = backend
    self.rounds = rounds
  }

  /// Of one call.
  package func seconds(_ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    body()
    let times = (0..<rounds).map { _ in
      backend.synchronize()
      let start = clock.now
      for _ in 0..<Self.calls { body() }
      backend.synchronize()
      return clock.now.seconds(since: start) / Double(Self.calls)
    }
    return times.min() ?? 0
  }
}

/// What a GPU reaches in `[tokens, in]·[in, out]` of bf16 without anything around it.
package struct MeasuredPeak: Sendable, Equatable {
  package let tokens: Int
  package let outFeatures: Int
  package let inFeatures: Int
  package let operationsPerSecond: Double

  /// The widest linear of a model, dense, over so many tokens.
  ///
  /// - Returns: nil on a processor, and where memory for it is short.
  /// - Throws: where the device fails.
  init?(_ model: DecoderModel, tokens: Int) throws {
    let shapes = model.linears.map { ($0.weight.outFeatures, $0.weight.inFeatures) }
    guard let backend = model.backend as? CUDABackend,
      let (rows, columns) = shapes.max(by: { $0.0 * $0.1 < $1.0 * $1.1 })
    else { return nil }
    // The matrix also waits in float32 until it is prepared, and pools grow by whole stretches.
    let bytes = 6 * rows * columns + 6 * tokens * (rows + columns)
    guard bytes + 2 * CUDABackend.growthBytes <= backend.roomBytes ?? 0 else { return nil }
    let builder = try backend.makeWeightBuilder(
      outFeatures: rows, inFeatures: columns, .dense(.bfloat16))
    try builder.fill { range, values in
      for index in range { values[index - range.lowerBound] = Self.value(index) }
    }
    let weight = try builder.finish()
    let input = backend.allocate([tokens, columns], .bfloat16)
    backend.convert(
      Tensor((0..<tokens * columns).map(Self.value), shape: [tokens, columns]), into: input)
    let output = backend.allocate([tokens, rows], .bfloat16)
    let seconds = EnqueuedCalls(backend, rounds: 5).seconds {
      backend.linear(input, [LinearTerm(weight: weight, output: output)])
    }
    try backend.checkHealth()
    (self.tokens, outFeatures, inFeatures) = (tokens, rows, columns)
    operationsPerSecond = 2 * Double(tokens) * Double(rows * columns) / seconds
  }

  /// Anything but zeros, with which a device draws less power and runs faster.
  private static func value(_ index: Int) -> Float { Float(index % 97) / 97 - 0.5 }
}
