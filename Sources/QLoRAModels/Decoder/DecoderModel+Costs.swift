// What a block costs under each policy, found by running the block itself on a counting backend.

import QLoRATensor

extension DecoderModel {
  /// - Parameters:
  ///   - batch: its tokens' number and bounds count, not their values.
  ///   - meter: bytes lent and operations counted so far by the backend.
  package func blockCosts(
    _ batch: TokenBatch, meter: () -> (bytes: Int, operations: Double)
  ) -> [[BlockCost]] {
    let stages = stages(batch)
    return blocks.map { block in
      let context = stages[block is WritingBlock ? 1 : 0]
      let shape: Shape = [context.positions.count, config.hidden]
      return ActivationPolicy.kept.map { policy in
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

  /// What blocks are given: one context, or that of blocks that read and that of those that write.
  private func stages(_ batch: TokenBatch) -> [ForwardContext] {
    func context(_ bounds: [Int], _ memory: ReadMemory?) -> ForwardContext {
      let positions = ReadAndWritten.positions(bounds)
      return ForwardContext(
        positions: positions, attention: .packed(bounds: bounds), memory: memory,
        rotary: rotaryTables(covering: positions), activationDType: activationDType,
        dropout: DropoutContext(seed: dropoutSeed, stream: 0))
    }
    guard readsAndWrites else { return [context(batch.bounds, nil)] }
    let halves = ReadAndWritten(batch.tokens, types: batch.types, bounds: batch.bounds)
    let shape: Shape = [halves.read.tokens.count, config.hidden]
    let read = Variable(backend.allocate(shape, activationDType), needsGradient: true)
    return [
      context(halves.read.bounds, nil),
      context(halves.written.bounds, .states(read, bounds: halves.read.bounds)),
    ]
  }
}
