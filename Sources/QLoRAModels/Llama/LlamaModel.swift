// A frozen Llama decoder with trainable adapters. Forward passes only: gradients are the tape's.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// A causal language model of the Llama family.
package final class LlamaModel {
  package let config: ModelConfig
  package let backend: any Backend
  /// The type that activations are kept in; sums are always float32.
  package let activationDType: DType
  let embedding: any PreparedWeight
  /// The same object as `embedding` where the model ties them.
  let head: any PreparedWeight
  var blocks: [LlamaBlock]
  /// `[hidden]` float32.
  let finalNorm: Tensor
  /// In the order of the optimizer; empty without adapters.
  package internal(set) var parameters: [Parameter] = []
  /// What each block keeps until backward.
  package var activationPolicies: [ActivationPolicy]
  package var dropoutSeed: UInt64 = 0
  /// Of the noise on embedded tokens in training; 0 means none.
  package var neftuneAlpha = 0.0
  /// Where the weights of blocks are that are not in memory; nil where all are.
  package var blockStore: (any BlockStore)?
  private var rotary: RotaryTable

  init(
    config: ModelConfig, backend: any Backend, activationDType: DType,
    embedding: any PreparedWeight, head: any PreparedWeight, blocks: [LlamaBlock],
    finalNorm: Tensor
  ) {
    self.config = config
    self.backend = backend
    self.activationDType = activationDType
    self.embedding = embedding
    self.head = head
    self.blocks = blocks
    self.finalNorm = finalNorm
    activationPolicies = blocks.map { _ in .everything }
    // Grown on demand: most runs need far fewer positions than the model allows.
    let firstPositions = 512
    rotary = RotaryTable(config: config, positionCount: firstPositions)
  }

  /// Bytes of the frozen weights in memory.
  package var weightBytes: Int {
    let tables = embedding === head ? embedding.byteCount : embedding.byteCount + head.byteCount
    let norms = (2 * blocks.count + 1) * finalNorm.byteCount
    return blockBytes.reduce(0, +) + tables + norms
  }

  /// The same of each block's linears.
  package var blockBytes: [Int] {
    blocks.map { block in
      LlamaBlock.linearPaths.reduce(0) { $0 + block[keyPath: $1].weight.byteCount }
    }
  }

  /// Final hidden states `[tokens, hidden]`, normalised.
  ///
  /// - Parameter observe: is shown what comes out of each module on the way.
  func hiddenStates(
    _ tokens: [Int32], positions: [Int32], attention: AttentionContext, dropout: DropoutContext?,
    on tape: Tape, observe: (_ module: String, Tensor) -> Void = { _, _ in }
  ) -> Variable {
    let context = ForwardContext(
      positions: positions, attention: attention, rotary: rotaryTable(covering: positions),
      activationDType: activationDType, dropout: dropout)
    announcePass(isRecording: tape.isRecording)
    let embedded = backend.allocate([tokens.count, config.hidden], activationDType)
    backend.embedding(tokens, embedding, into: embedded)
    observe("model.embed_tokens", embedded)
    var hidden = Variable(noisy(embedded, attention, dropout))
    for (block, policy) in zip(blocks, activationPolicies) {
      hidden = block.forward(hidden, context, keeping: policy, on: tape)
      observe("model.layers.\(block.index)", hidden.value)
    }
    let normalised = tape.rmsNorm(hidden, weight: finalNorm, epsilon: config.normEpsilon)
    observe("model.norm", normalised.value)
    return normalised
  }

  func rotaryTable(covering positions: [Int32]) -> RotaryTable {
    let needed = Int(positions.max() ?? 0) + 1
    if needed > rotary.positionCount {
      rotary = RotaryTable(
        config: config, positionCount: max(needed, 2 * rotary.positionCount))
    }
    return rotary
  }

  /// Logits `[rows, vocabulary]` float32 of some rows of normalised hidden states.
  func logits(_ hidden: Tensor) -> Tensor {
    let output = backend.allocate([hidden.shape[0], config.vocabularySize], .float32)
    backend.linear(hidden, [LinearTerm(weight: head, output: output)])
    return output
  }
}
