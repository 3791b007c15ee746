// Experts of which each token takes a few: routing, their linears, and the weighted sum of what
// they put out.
// Source: Shazeer et al. 2017, "Outrageously Large Neural Networks", arXiv:1701.06538; top-k after
// softmax: Jiang et al. 2024, "Mixtral of Experts", arXiv:2401.04088, section 2.1.

/// Which rows belong to which expert. Tokens times choices make rows, expert by expert.
package struct Routing {
  /// `[tokens, chosen]` float32: what each choice counts.
  package let weights: Variable
  /// The token of each row.
  package let tokens: [Int32]
  /// `[tokens, chosen]`: the row of each choice.
  package let places: [Int32]
  /// The rows of each expert.
  package let ranges: [Range<Int>]

  /// The same with other weights.
  package func counting(_ weights: Variable) -> Routing {
    Routing(weights: weights, tokens: tokens, places: places, ranges: ranges)
  }

  private init(
    weights: Variable, tokens: [Int32], places: [Int32], ranges: [Range<Int>]
  ) {
    self.weights = weights
    self.tokens = tokens
    self.places = places
    self.ranges = ranges
  }

  init(weights: Variable, experts: [Int32], count: Int) {
    self.weights = weights
    let chosen = weights.value.shape[1]
    var ends = [Int](repeating: 0, count: count)
    for expert in experts { ends[Int(expert)] += 1 }
    for expert in ends.indices.dropFirst() { ends[expert] += ends[expert - 1] }
    ranges = ends.indices.map { ($0 == 0 ? 0 : ends[$0 - 1])..<ends[$0] }
    var next = ranges.map(\.lowerBound)
    var tokens = [Int32](repeating: 0, count: experts.count)
    places = experts.enumerated().map { choice, expert in
      let row = next[Int(expert)]
      next[Int(expert)] += 1
      tokens[row] = Int32(choice / chosen)
      return Int32(row)
    }
    self.tokens = tokens
  }
}

extension Tape {
  /// Chooses experts by `logits [tokens, experts]` float32; gradients flow through the weights of
  /// those that were chosen.
  package func route(_ logits: Variable, chosen: Int, isNormalized: Bool) -> Routing {
    let weights = backend.allocate([logits.value.shape[0], chosen], .float32)
    let experts = backend.route(
      logits.value, chosen: chosen, isNormalized: isNormalized, into: weights)
    let result = output(weights, of: [logits])
    let (value, inputPlace, outputPlace) = (logits.value, logits.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let logitGradient = backend.allocate(inputPlace.shape, .float32)
      backend.routeBackward(
        gradient, logits: value, experts: experts, weights: weights, isNormalized: isNormalized,
        logitGradient: logitGradient)
      accumulate(logitGradient, at: inputPlace)
    }
    return Routing(weights: result, experts: experts, count: logits.value.shape[1])
  }

  /// The rows of all experts, `[tokens · chosen, width]`. Made again where backward needs them.
  package func gather(_ input: Variable, _ routing: Routing) -> Variable {
    let (value, shape) = (input.value, input.value.shape)
    let rows = { [backend] in
      let rows = backend.allocate([routing.tokens.count, shape[1]], value.dtype)
      backend.gatherRows(value, routing.tokens, into: rows)
      return rows
    }
    let result = output(rows(), of: [input], remake: rows)
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let target = gradientTarget(at: inputPlace)
      backend.weightedRows(
        gradient, places: routing.places, weights: nil, into: target.tensor,
        accumulating: target.accumulating)
    }
    return result
  }

  /// `Σ_c weights[t, c] · input[places[t, c]]`, `[tokens, width]`.
  package func combine(_ input: Variable, _ routing: Routing) -> Variable {
    let weights = routing.weights
    let sum = backend.allocate(
      [weights.value.shape[0], input.value.shape[1]], input.value.dtype)
    backend.weightedRows(
      input.value, places: routing.places, weights: weights.value, into: sum, accumulating: false)
    let result = output(sum, of: [input, weights])
    let (value, factors) = (input.value, weights.value)
    let (inputPlace, weightPlace, outputPlace) = (input.place, weights.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let inputGradient = backend.allocate(inputPlace.shape, .float32)
      let weightGradient = backend.allocate(weightPlace.shape, .float32)
      backend.weightedRowsBackward(
        gradient, input: value, places: routing.places, weights: factors,
        inputGradient: inputGradient, weightGradient: weightGradient)
      accumulate(inputGradient, at: inputPlace)
      accumulate(weightGradient, at: weightPlace)
    }
    return result
  }

  /// `linears` of every expert over its own rows. `layers[i]` are the experts' linears of output
  /// `i`.
  package func expertLinears(
    _ input: Variable, _ ranges: [Range<Int>], _ layers: [[AdaptedLinear]], dtype: DType,
    dropout: DropoutContext? = nil
  ) -> [Variable] {
    let rows = input.value.shape[0]
    let values = layers.map { layer in
      backend.allocate([rows, layer.first?.weight.outFeatures ?? 0], dtype)
    }
    let terms = ranges.indices.map { expert in
      zip(layers, values).map { layer, value in
        term(layer[expert], value.rows(ranges[expert]), dropout)
      }
    }
    for (range, terms) in zip(ranges, terms) where !range.isEmpty {
      backend.linear(input.value.rows(range), terms)
    }
    let hasParameters = layers.contains { $0.contains { $0.adapter != nil } }
    let outputs = values.map { output($0, of: [input], hasParameters: hasParameters) }
    guard let last = outputs.last else { return [] }
    let (kept, inputPlace, places) = (input.kept, input.place, outputs.map(\.place))
    let adapters = terms.map { $0.map(\.adapter) }
    record(last) { [self] in
      let gradients = places.map(takeGradient)
      guard gradients.contains(where: { $0 != nil }) else { return }
      let target = inputPlace.isWanted ? gradientTarget(at: inputPlace) : nil
      let value = kept()
      for (expert, range) in ranges.enumerated() where !range.isEmpty {
        let terms = zip(layers, gradients).enumerated().compactMap { index, pair in
          pair.1.map { gradient in
            LinearGradientTerm(
              backwardLinear(pair.0[expert], adapters[expert][index]),
              outputGradient: gradient.rows(range))
          }
        }
        backend.linearBackward(
          terms, input: value.rows(range), inputGradient: target?.tensor.rows(range),
          accumulating: target?.accumulating ?? false)
      }
    }
    return outputs
  }
}
