// What a block costs under each policy, found by running the block itself on a counting backend.

import QLoRATensor

extension DecoderModel {
  /// - Parameters:
  ///   - batch: its tokens' number and bounds count, not their values.
  ///   - meter: bytes lent and operations counted so far by the backend.
  package func blockCosts(
    _ batch: TokenBatch, meter: () -> (bytes: Int, operations: Double)
  ) -> [[BlockCost]] {
    let context = ForwardContext(
      positions: batch.positions, attention: .packed(bounds: batch.bounds),
      rotary: rotaryTables(covering: batch.positions), activationDType: activationDType,
      dropout: DropoutContext(seed: dropoutSeed, stream: 0))
    let shape: Shape = [batch.tokens.count, config.hidden]
    return blocks.map { block in
      ActivationPolicy.allCases.map { policy in
        let tape = Tape(backend: backend)
        let input = Variable(backend.allocate(shape, activationDType), needsGradient: true)
        let before = meter()
        let output = block.forward(input, context, keeping: policy, on: tape)
        let kept = meter().bytes - before.bytes
        tape.accumulate(backend.allocate(shape, .float32), into: output)
        tape.runBackward()
        return BlockCost(
          policy: policy, keptBytes: kept, operations: meter().operations - before.operations)
      }
    }
  }
}
