// Constant tables on the device: what codes of weights and of optimizer states mean.
import QLoRATensor

struct DeviceTables: Sendable {
  /// A dynamic map: `[256]` float32 values, and the code for each of 65,536 places.
  struct Map: Sendable {
    let values: Tensor
    let lookup: Tensor

    init(_ table: DynamicMapTable) {
      values = Tensor(table.values, shape: [table.values.count])
      lookup = Tensor(bytes: table.lookup, shape: [table.lookup.count], dtype: .uint8)
    }
  }

  let nf4 = Tensor(FourBitType.nf4.values, shape: [16])
  let fp4 = Tensor(FourBitType.fp4.values, shape: [16])
  let signed = Map(.signed)
  let unsigned = Map(.unsigned)

  func values(_ type: FourBitType) -> Tensor { type == .nf4 ? nf4 : fp4 }
}
