// The 8-bit format of bitsandbytes (LLM.int8) as plain tensors, and the choice between it and 4
// bits.

/// How 8-bit weights meet activations.
package struct Int8Spec: Sendable, Hashable {
  /// In inference, columns in which an activation reaches this magnitude are multiplied in higher
  /// precision; 0 = none.
  package var threshold: Float

  /// Source: Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339, section 3.2.
  package static let standardThreshold: Float = 6

  package init(threshold: Float = Int8Spec.standardThreshold) { self.threshold = threshold }
}

/// A `[out, in]` matrix in 8 bits with a scale per row: element = code · scale / 127.
package struct Int8Matrix: Sendable {
  /// `[out, in]` int8.
  package var codes: Tensor
  /// `[out]` float32: the largest magnitude of each row.
  package var scales: Tensor

  package var shape: Shape { codes.shape }

  package init(codes: Tensor, scales: Tensor) {
    self.codes = codes
    self.scales = scales
  }
}

/// How the linears of a model are quantized.
package enum WeightQuantization: Sendable, Hashable {
  case fourBit(QuantizationSpec)
  case int8(Int8Spec)

  /// nil for 8 bits.
  package var fourBitSpec: QuantizationSpec? {
    if case .fourBit(let spec) = self { spec } else { nil }
  }

  package var storage: WeightStorage {
    switch self {
    case .fourBit(let spec): .fourBit(spec)
    case .int8(let spec): .int8(spec)
    }
  }
}
