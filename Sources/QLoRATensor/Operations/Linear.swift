// The product with a frozen weight and its low-rank branch: the one linear operation of the tape.

/// A trainable low-rank correction of a frozen linear: `ΔW = scale · B·A`.
/// Source: Hu et al. 2021, "LoRA", arXiv:2106.09685, section 4.1.
package final class LowRankAdapter: Sendable {
  /// `[rank, in]`.
  package let a: Parameter
  /// `[out, rank]`.
  package let b: Parameter
  /// alpha / rank.
  package let scale: Float
  package let dropoutRate: Float
  /// Tells this adapter's dropout masks from those of the others.
  package let index: Int

  package init(a: Parameter, b: Parameter, scale: Float, dropoutRate: Float, index: Int) {
    self.a = a
    self.b = b
    self.scale = scale
    self.dropoutRate = dropoutRate
    self.index = index
  }

  package var rank: Int { a.value.shape[0] }
}

/// A frozen linear with an optional bias and an optional adapter.
package struct AdaptedLinear: Sendable {
  /// The Hugging Face name of the module, such as `model.layers.0.self_attn.q_proj`.
  package let name: String
  package let weight: any PreparedWeight
  /// `[out]` float32.
  package let bias: Tensor?
  package var adapter: LowRankAdapter?

  package init(
    name: String, weight: any PreparedWeight, bias: Tensor? = nil, adapter: LowRankAdapter? = nil
  ) {
    self.name = name
    self.weight = weight
    self.bias = bias
    self.adapter = adapter
  }
}

/// What makes the dropout masks of one micro-batch: equal contexts give equal masks.
package struct DropoutContext: Sendable, Hashable {
  package var seed: UInt64
  /// Different for every micro-batch of a run.
  package var stream: UInt64

  package init(seed: UInt64, stream: UInt64) {
    self.seed = seed
    self.stream = stream
  }

  /// The mask of one adapter; nil where it drops nothing.
  func mask(of adapter: LowRankAdapter) -> DropoutMask? {
    guard adapter.dropoutRate > 0 else { return nil }
    // Adapters are numbered from 0; 2^16 of them per micro-batch never overlap the next stream.
    let adapterBits: UInt64 = 16
    return DropoutMask(
      rate: adapter.dropoutRate, key: seed, stream: stream << adapterBits | UInt64(adapter.index))
  }
}

extension Tape {
  /// `x·Wᵀ + bias + scale·(dropout(x)·Aᵀ)·Bᵀ` for several layers that read the same input
  /// `[tokens, in]`; outputs `[tokens, out]` in `dtype`. `dropout` nil = off (evaluation).
  package func linears(
    _ input: Variable, _ layers: [AdaptedLinear], dtype: DType, dropout: DropoutContext? = nil
  ) -> [Variable] {
    let tokens = input.value.shape[0]
    let terms = layers.map { layer in
      term(layer, backend.allocate([tokens, layer.weight.outFeatures], dtype), dropout)
    }
    backend.linear(input.value, terms)
    let hasParameters = layers.contains { $0.adapter != nil }
    let outputs = terms.map { output($0.output, of: [input], hasParameters: hasParameters) }
    if let last = outputs.last {
      // Of the input its value, of the outputs only the places: nobody needs their values here.
      let (kept, inputPlace) = (input.kept, input.place)
      let (adapters, places) = (terms.map(\.adapter), outputs.map(\.place))
      record(last) { [self] in
        linearsBackward(kept, inputPlace, layers, adapters, places)
      }
    }
    return outputs
  }

  func term(_ layer: AdaptedLinear, _ output: Tensor, _ dropout: DropoutContext?) -> LinearTerm {
    LinearTerm(
      weight: layer.weight, bias: layer.bias,
      adapter: layer.adapter.map { adapter in
        AdapterTerm(
          a: adapter.a.value, b: adapter.b.value, scale: adapter.scale,
          dropout: dropout?.mask(of: adapter),
          projected: backend.allocate([output.shape[0], adapter.rank], .float32))
      },
      output: output, isInference: isInference)
  }

  /// `activation` of what two layers give, gate and up, or one alone: `activate` over `linears`
  /// where nothing else reads their outputs, whose gradients then never are tensors of their own.
  package func activatedLinears(
    _ input: Variable, _ layers: [AdaptedLinear], _ activation: Activation, dtype: DType,
    dropout: DropoutContext? = nil
  ) -> Variable {
    if activation == .relu, layers.count == 1 {
      return apply(.relu, to: linears(input, layers, dtype: dtype, dropout: dropout)[0])
    }
    let tokens = input.value.shape[0]
    let terms = layers.map { layer in
      term(layer, backend.allocate([tokens, layer.weight.outFeatures], dtype), dropout)
    }
    backend.linear(input.value, terms)
    let inputs = ActivationInputs(
      activation, gate: terms[0].output, up: terms.count > 1 ? terms[1].output : nil)
    let product = { [backend] in backend.activated(inputs) }
    let result = output(
      product(), of: [input], hasParameters: layers.contains { $0.adapter != nil },
      remake: product)
    let (kept, inputPlace, outputPlace) = (input.kept, input.place, result.place)
    let adapters = terms.map(\.adapter)
    record(result) { [self] in
      guard let gradient = takeOwnGradient(at: outputPlace) else { return }
      let target = inputPlace.isWanted ? gradientTarget(at: inputPlace) : nil
      backend.activatedLinearBackward(
        consume gradient, inputs, zip(layers, adapters).map { backwardLinear($0, $1) },
        input: kept(), inputGradient: target?.tensor, accumulating: target?.accumulating ?? false)
    }
    return result
  }

  func backwardLinear(_ layer: AdaptedLinear, _ adapter: AdapterTerm?) -> BackwardLinear {
    BackwardLinear(
      weight: layer.weight, adapter: adapter, aGradient: layer.adapter?.a.gradient,
      bGradient: layer.adapter?.b.gradient)
  }

  private func linearsBackward(
    _ kept: () -> Tensor, _ inputPlace: GradientPlace, _ layers: [AdaptedLinear],
    _ adapters: [AdapterTerm?], _ places: [GradientPlace]
  ) {
    var gradients: [LinearGradientTerm] = []
    for (index, layer) in layers.enumerated() {
      guard let outputGradient = takeGradient(at: places[index]) else { continue }
      let linear = backwardLinear(layer, adapters[index])
      gradients.append(LinearGradientTerm(linear, outputGradient: outputGradient))
    }
    guard !gradients.isEmpty else { return }
    let target = inputPlace.isWanted ? gradientTarget(at: inputPlace) : nil
    backend.linearBackward(
      gradients, input: kept(), inputGradient: target?.tensor,
      accumulating: target?.accumulating ?? false)
  }
}
