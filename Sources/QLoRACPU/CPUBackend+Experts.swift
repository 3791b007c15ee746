// Routing tokens to experts, and rows that are gathered and added up again.
import CQLoRAKernels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

// SAFETY: rows and places are compared with the tensors' shapes before a kernel reads them; items
// write disjoint rows.
extension CPUBackend {
  package func route(
    _ logits: Tensor, chosen: Int, isNormalized: Bool, into weights: Tensor
  ) -> [Int32] {
    let (tokens, count) = (logits.shape[0], logits.shape[1])
    precondition(chosen <= count && weights.count == tokens * chosen)
    // Without data, experts share the tokens evenly.
    if hollowPool != nil { return (0..<tokens * chosen).map { Int32($0 % count) } }
    var experts: [Int32] = []
    experts.reserveCapacity(tokens * chosen)
    for token in 0..<tokens {
      let row = UnsafeBufferPointer(start: logits.floatAddress(at: token * count), count: count)
      let best = Self.best(chosen, of: row)
      let top = row[best[0]]
      let all = isNormalized ? best.map { row[$0] } : Array(row)
      let sum = all.reduce(Float(0)) { $0 + exp($1 - top) }
      for (choice, expert) in best.enumerated() {
        weights[flat: token * chosen + choice] = exp(row[expert] - top) / sum
        experts.append(Int32(expert))
      }
    }
    return experts
  }

  /// Indices of the largest values, the first of equals first.
  private static func best(_ count: Int, of row: UnsafeBufferPointer<Float>) -> [Int] {
    var best: [Int] = []
    for index in row.indices {
      let place = best.firstIndex { row[$0] < row[index] } ?? best.count
      guard place < count else { continue }
      best.insert(index, at: place)
      if best.count > count { best.removeLast() }
    }
    return best
  }

  package func routeBackward(
    _ weightGradient: Tensor, logits: Tensor, experts: [Int32], weights: Tensor,
    isNormalized: Bool, logitGradient: Tensor
  ) {
    let (tokens, count) = (logits.shape[0], logits.shape[1])
    let chosen = weights.shape[1]
    precondition(experts.count == tokens * chosen && logitGradient.count == logits.count)
    if hollowPool != nil { return }
    for token in 0..<tokens {
      let choices = token * chosen..<(token + 1) * chosen
      // Of a softmax p over those that count, dz = p·(dp − Σ p·dp).
      let mean = choices.reduce(Float(0)) {
        $0 + weights[flat: $1] * weightGradient[flat: $1]
      }
      for expert in 0..<count {
        let place = token * count + expert
        let (z, top) = (logits[flat: place], logits[flat: token * count + Int(experts[choices.lowerBound])])
        let p = isNormalized ? 0 : exp(z - top) * weights[flat: choices.lowerBound]
        logitGradient[flat: place] = -p * mean
      }
      for choice in choices {
        let place = token * count + Int(experts[choice])
        let (weight, gradient) = (weights[flat: choice], weightGradient[flat: choice])
        logitGradient[flat: place] += weight * (isNormalized ? gradient - mean : gradient)
      }
    }
  }

  package func gatherRows(_ input: Tensor, _ rows: [Int32], into output: Tensor) {
    let (width, count) = (input.shape[1], input.shape[0])
    precondition(output.count == rows.count * width && output.dtype == input.dtype)
    precondition(rows.allSatisfy { $0 >= 0 && $0 < count })
    runRows(rows.count, width: width) { range in
      for row in range {
        output.address(at: row * width).copyMemory(
          from: input.address(at: Int(rows[row]) * width),
          byteCount: width * input.dtype.byteSize)
      }
    }
  }

  package func weightedRows(
    _ input: Tensor, places: [Int32], weights: Tensor?, into output: Tensor, accumulating: Bool
  ) {
    let (width, tokens) = (output.shape[1], output.shape[0])
    let chosen = places.count / max(1, tokens)
    let count = input.shape[0]
    precondition(chosen * tokens == places.count && input.shape[1] == width)
    precondition(weights == nil || weights?.count == places.count)
    precondition(places.allSatisfy { $0 >= 0 && $0 < count })
    precondition(!accumulating || output.dtype == .float32)
    let kernel = rows
    let (storage, memory) = scratch(floats: width)
    threadPool.run(tokens) { token, worker in
      let sum = memory(worker)
      let place = output.address(at: token * width)
      if accumulating {
        sum.update(from: output.floatAddress(at: token * width), count: width)
      } else {
        sum.update(repeating: 0, count: width)
      }
      for choice in token * chosen..<(token + 1) * chosen {
        kernel.add_scaled(
          width, weights?[flat: choice] ?? 1, input.address(at: Int(places[choice]) * width),
          input.dtype.element, sum)
      }
      kernel.convert(width, sum, qlora_element_f32, place, output.dtype.element)
    }
    withExtendedLifetime(storage) {}
  }

  package func weightedRowsBackward(
    _ outputGradient: Tensor, input: Tensor, places: [Int32], weights: Tensor,
    inputGradient: Tensor, weightGradient: Tensor
  ) {
    let (width, tokens) = (outputGradient.shape[1], outputGradient.shape[0])
    let chosen = places.count / max(1, tokens)
    let count = input.shape[0]
    precondition(chosen * tokens == places.count && input.shape[1] == width)
    precondition(weights.count == places.count && weightGradient.count == places.count)
    precondition(places.allSatisfy { $0 >= 0 && $0 < count } && inputGradient.count == input.count)
    let kernel = rows
    threadPool.run(tokens) { token in
      let gradient = outputGradient.floatAddress(at: token * width)
      for choice in token * chosen..<(token + 1) * chosen {
        let row = Int(places[choice]) * width
        weightGradient[flat: choice] = kernel.dot(
          width, input.address(at: row), input.dtype.element, gradient)
        let target = inputGradient.floatAddress(at: row)
        target.update(repeating: 0, count: width)
        kernel.add_scaled(width, weights[flat: choice], gradient, qlora_element_f32, target)
      }
    }
  }
}
