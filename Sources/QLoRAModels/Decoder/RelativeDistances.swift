// Biases of attention scores by how far a key is from its query, in buckets that grow with it.

import QLoRAFormats
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified
/// Text-to-Text Transformer", arXiv:1910.10683, section 2.1.
extension DistanceBias {
  /// - Parameters:
  ///   - table: `[buckets, heads]`.
  ///   - isCausal: whether no key is behind its query, so that all buckets are for those before it.
  init(_ table: Tensor, _ form: ReaderForm, isCausal: Bool) {
    let (reach, heads) = (form.largestDistance, table.shape[1])
    let values = table.floats()
    let buckets = (-reach...reach).map { Self.bucket($0, form, isCausal: isCausal) }
    self.init(
      Tensor(
        (0..<heads).flatMap { head in buckets.map { values[$0 * heads + head] } },
        shape: [heads, buckets.count]), reach: reach)
  }

  /// One bucket for each small distance; the rest by its logarithm, in the fp32 steps of
  /// transformers.
  private static func bucket(_ distance: Int, _ form: ReaderForm, isCausal: Bool) -> Int {
    let count = isCausal ? form.buckets : form.buckets / 2
    let exact = count / 2
    let length = isCausal ? max(0, -distance) : abs(distance)
    let side = !isCausal && distance > 0 ? count : 0
    guard length >= exact else { return side + length }
    let whole = Float(log(Double(form.largestDistance) / Double(exact)))
    let part = logf(Float(length) / Float(exact)) / whole
    return side + min(count - 1, exact + Int(part * Float(count - exact)))
  }
}
