// A weight in device memory, in the order of the file's own format: what suits a kernel that
// decodes whole rows.
import QLoRATensor

package final class CUDAWeight: PreparedWeight {
  enum Content: Sendable {
    case fourBit(QuantizedMatrix)
    case int8(Int8Matrix, Int8Spec)
    /// `[out, in]`.
    case dense(Tensor)
  }

  package let outFeatures: Int
  package let inFeatures: Int
  let content: Content

  init(outFeatures: Int, inFeatures: Int, _ content: Content) {
    self.outFeatures = outFeatures
    self.inFeatures = inFeatures
    self.content = content
  }

  package var spec: QuantizationSpec? {
    if case .fourBit(let matrix) = content { matrix.spec } else { nil }
  }

  var storage: WeightStorage {
    switch content {
    case .fourBit(let matrix): .fourBit(matrix.spec)
    case .int8(_, let spec): .int8(spec)
    case .dense(let values): .dense(values.dtype)
    }
  }

  package var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }

  /// All that it is made of.
  var parts: [Tensor] {
    switch content {
    case .dense(let values): [values]
    case .int8(let matrix, _): [matrix.codes, matrix.scales]
    case .fourBit(let matrix):
      switch matrix.scales {
      case .plain(let absmax): [matrix.packed, absmax]
      case .nested(let nested): [matrix.packed, nested.codes, nested.absmax, nested.map]
      }
    }
  }
}
