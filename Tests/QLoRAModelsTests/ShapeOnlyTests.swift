// A step without data asks for the memory and does the work that a real one does.

import QLoRACPU
import QLoRAFormats
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

@Suite struct ShapeOnlyTests {
  /// Live bytes behind each stage, then peak and extent of the whole step.
  private func memory(
    _ model: DecoderModel, _ pool: StoragePool, _ batch: TokenBatch, _ policy: ActivationPolicy
  ) -> [Int] {
    model.activationPolicies = model.activationPolicies.map { _ in policy }
    pool.restart()
    var bytes: [Int] = []
    _ = model.accumulateGradients(batch, dropoutStream: 0) { _ in
      bytes.append(pool.statistics.liveBytes)
    }
    return bytes + [pool.statistics.peakBytes, pool.statistics.extentBytes]
  }

  @Test(arguments: ActivationPolicy.allCases)
  func asksForWhatARealStepAsksFor(policy: ActivationPolicy) throws {
    let cases: [(GoldenBase, DType)] = [
      (.float32, .float32), (.nf4dq, .bfloat16), (.nf4dq, .float16),
    ]
    for (base, dtype) in cases {
      let real = try TinyLlama(base, computeDType: dtype)
      let hollow = try ShapeOnlyLlama(quantization: base.quantization, computeDType: dtype)
      let backend = try #require(real.model.backend as? CPUBackend)
      let expected = memory(real.model, backend.storagePool, real.batch, policy)
      let found = memory(hollow.model, hollow.backend.storagePool, hollow.batch, policy)
      #expect(found == expected, "\(base) in \(dtype)")
      #expect(expected[3] > expected[0])
    }
  }

  @Test func holdsAsMuchAsRealWeights() throws {
    let hollow = try ShapeOnlyLlama()
    let real = try TinyLlama(.nf4dq)
    #expect(hollow.model.weightBytes == real.model.weightBytes)
    #expect(hollow.model.parameters.map(\.name) == real.model.parameters.map(\.name))
    #expect(hollow.model.parameters.map(\.value.shape) == real.model.parameters.map(\.value.shape))
  }

  @Test func holdsAsMuchIn8Bits() throws {
    let int8 = WeightQuantization.int8(Int8Spec())
    let real = try ModelLoader(
      try ModelSource.open(Goldens.path("tiny-llama")), backend: try CPUBackend(threads: 1),
      options: LoadOptions(quantization: int8, computeDType: .float32)
    ).load()
    #expect(try ShapeOnlyLlama(quantization: int8).model.weightBytes == real.weightBytes)
  }

  @Test func whatBlocksKeepAddsUp() throws {
    let hollow = try ShapeOnlyLlama()
    let costs = hollow.costs()
    let kept = ActivationPolicy.kept.enumerated().map { index, policy in
      memory(hollow.model, hollow.backend.storagePool, hollow.batch, policy)[0]
        - costs.reduce(0) { $0 + $1[index].keptBytes }
    }
    // The rest is the embedded tokens and the rows of the head, whatever blocks keep.
    #expect(Set(kept).count == 1)
    #expect(kept[0] > 0)
  }

  /// Forward and the gradient of inputs multiply by every weight once, down_proj and o_proj are
  /// spared where their outputs are made again, and the first block's input wants no gradient.
  @Test func countsOperations() throws {
    let hollow = try ShapeOnlyLlama()
    let (model, batch) = (hollow.model, hollow.batch)
    let config = model.config
    let (tokens, hidden, wide) = (batch.tokens.count, config.hidden, config.intermediate)
    let (query, key) = (config.heads * config.headDim, config.kvHeads * config.headDim)
    let inward = hidden * (query + 2 * key)
    let pairs = zip(batch.bounds, batch.bounds.dropFirst()).reduce(0) {
      $0 + ($1.1 - $1.0) * ($1.1 - $1.0 + 1) / 2
    }
    let attention = 2 * 2 * pairs * query
    let rank = 4
    let lowInward = rank * (3 * hidden + query + 2 * key)
    let lowOutward = rank * (query + hidden)
    let lowMLP = rank * (2 * (hidden + wide) + wide + hidden)
    func products(_ elements: Int) -> Int { 2 * tokens * elements }
    // Of one block: weights forward and backward; low-rank branches forward, backward by input and
    // by their own halves.
    let weights = inward + query * hidden + 3 * hidden * wide
    let lows = lowInward + lowOutward + lowMLP
    let block = products(2 * weights + 3 * lows) + attention + attention * 5 / 2
    let again = products(inward + lowInward) + attention
    let head = 2 * 2 * batch.rows.count * hidden * config.vocabularySize
    let unwanted = products(inward + rank * 3 * hidden)
    let before = hollow.counter.operations
    _ = try model.accumulateGradients(batch, dropoutStream: 0)
    let plain = hollow.counter.operations - before
    #expect(plain == Double(config.layers * block + head - unwanted))
    model.activationPolicies = model.activationPolicies.map { _ in .residuals }
    _ = try model.accumulateGradients(batch, dropoutStream: 0)
    let recomputed = hollow.counter.operations - before - 2 * plain
    let gateUp = products(2 * hidden * wide + rank * 2 * (hidden + wide))
    #expect(recomputed == Double(config.layers * (again + gateUp)))
  }
}
