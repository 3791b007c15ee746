// Routing tokens to experts, and rows that are gathered and added up again.
import QLoRATensor

extension CUDABackend {
  package func route(
    _ logits: Tensor, chosen: Int, isNormalized: Bool, into weights: Tensor
  ) -> [Int32] {
    let (tokens, count) = (logits.shape[0], logits.shape[1])
    precondition(chosen <= count && weights.count == tokens * chosen)
    let experts = allocate([tokens, chosen], .int32)
    kernels.launch(
      "qlora_route", grid: (tokens, 1, 1), threads: 32,
      [
        read(logits), count, Int32(chosen), Int32(isNormalized ? 1 : 0), write(experts),
        write(weights),
      ])
    let found = experts.withElements(Int32.self) { Array($0) }
    // Without data, or with what a lost device left, experts share the tokens evenly.
    if device.isHollow || device.failure != nil {
      return (0..<tokens * chosen).map { Int32($0 % count) }
    }
    return found
  }

  package func routeBackward(
    _ weightGradient: Tensor, logits: Tensor, experts: [Int32], weights: Tensor,
    isNormalized: Bool, logitGradient: Tensor
  ) {
    let (tokens, count) = (logits.shape[0], logits.shape[1])
    let chosen = weights.shape[1]
    precondition(experts.count == tokens * chosen && logitGradient.count == logits.count)
    precondition(experts.allSatisfy { $0 >= 0 && $0 < count })
    let choices = integers.tensor(experts)
    kernels.launch(
      "qlora_route_backward", grid: (tokens, 1, 1), threads: 32,
      [
        read(weightGradient), read(logits), count, read(choices), read(weights), Int32(chosen),
        Int32(isNormalized ? 1 : 0), write(logitGradient),
      ])
  }

  package func gatherRows(_ input: Tensor, _ rows: [Int32], into output: Tensor) {
    let (width, count) = (input.shape[1], input.shape[0])
    precondition(output.count == rows.count * width && output.dtype == input.dtype)
    precondition(rows.allSatisfy { $0 >= 0 && $0 < count })
    let places = integers.tensor(rows)
    launch(
      "qlora_gather_rows", over: output.count,
      [read(input), input.dtype.element, read(places), write(output), rows.count, width])
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
    let rows = integers.tensor(places)
    launch(
      "qlora_weighted_rows", over: output.count,
      [
        read(input), input.dtype.element, read(rows), weights.map(read) ?? 0, write(output),
        output.dtype.element, tokens, width, chosen, Int32(accumulating ? 1 : 0),
      ])
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
    let rows = integers.tensor(places)
    kernels.launch(
      "qlora_weighted_rows_backward", grid: (places.count, 1, 1), threads: 256,
      [
        read(outputGradient), read(input), input.dtype.element, read(rows), read(weights),
        write(inputGradient), write(weightGradient), width, chosen,
      ])
  }
}
