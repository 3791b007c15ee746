// Rows of a weight as plain fp32: decoding and embedding look-ups.
import CQLoRAKernels
import QLoRATensor

// SAFETY: as in `CPUBackend+Linear.swift`; items write disjoint rows.
extension CPUBackend {
  package func decode(_ weight: any PreparedWeight, rows: Range<Int>, into output: Tensor) {
    let weight = panelWeight(weight)
    let columns = weight.inFeatures
    let values = output.pointer(Float.self)
    let firstGroup = rows.lowerBound / 8
    let (storage, memory) = scratch(floats: (columns + 16) * 8)
    threadPool.run((rows.upperBound + 7) / 8 - firstGroup) { item, worker in
      let group = firstGroup + item
      let part = rows.clamped(to: group * 8..<group * 8 + 8)
      decodeRows(
        weight, rows: part, into: values + (part.lowerBound - rows.lowerBound) * columns,
        panel: memory(worker))
    }
    withExtendedLifetime(storage) {}
  }

  /// Rows `rows` to `output [rows][in]`; `panel` is scratch for one group.
  func decodeRows(
    _ weight: any PanelWeight, rows: Range<Int>, into output: UnsafeMutablePointer<Float>,
    panel: UnsafeMutablePointer<Float>
  ) {
    let kernels = product
    let columns = weight.inFeatures
    if rows.isEmpty { return }
    for group in rows.lowerBound / 8...(rows.upperBound - 1) / 8 {
      weight.decode(group: group, columns: 0..<columns, into: panel, kernels)
      for row in rows.clamped(to: group * 8..<group * 8 + 8) {
        let place = output + (row - rows.lowerBound) * columns
        for column in 0..<columns { place[column] = panel[column * 8 + row % 8] }
      }
    }
  }

  package func embedding(
    _ tokens: [Int32], _ table: any PreparedWeight, into output: Tensor
  ) {
    let weight = panelWeight(table)
    let columns = weight.inFeatures
    let (storage, memory) = scratch(floats: (columns + 16) * 9)
    threadPool.run(tokens.count) { index, worker in
      let row = Int(tokens[index])
      let values = memory(worker)
      decodeRows(weight, rows: row..<row + 1, into: values, panel: values + columns)
      self.rows.convert(
        columns, values, qlora_element_f32, output.address(at: index * columns),
        output.dtype.element)
    }
    withExtendedLifetime(storage) {}
  }
}
