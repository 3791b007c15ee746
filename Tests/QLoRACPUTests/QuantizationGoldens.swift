// Reads the committed bitsandbytes goldens; a test's reader, not the product's.
import Foundation
import QLoRATensor
import TestSupport

struct QuantizationGoldens {
  private let data: Data
  private let entries: [String: (dtype: String, shape: [Int], range: Range<Int>)]
  let cases: [String]

  init(_ file: String = "bnb4bit.safetensors") throws {
    data = try Data(contentsOf: Goldens.url(file))
    let length = data.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
    let object = try JSONSerialization.jsonObject(with: data[8..<8 + length])
    var entries: [String: (dtype: String, shape: [Int], range: Range<Int>)] = [:]
    var cases: [String] = []
    for (name, value) in object as? [String: Any] ?? [:] {
      guard let entry = value as? [String: Any] else { continue }
      if name == "__metadata__" {
        cases = (entry["cases"] as? String ?? "").split(separator: ",").map(String.init)
        continue
      }
      let offsets = entry["data_offsets"] as? [Int] ?? [0, 0]
      entries[name] = (
        entry["dtype"] as? String ?? "", entry["shape"] as? [Int] ?? [],
        8 + length + offsets[0]..<8 + length + offsets[1]
      )
    }
    self.entries = entries
    self.cases = cases
  }

  func bytes(_ name: String) -> [UInt8]? { entries[name].map { [UInt8](data[$0.range]) } }

  func shape(_ name: String) -> [Int] { entries[name]?.shape ?? [] }

  func tensor(_ name: String) -> Tensor? {
    guard let entry = entries[name], let bytes = bytes(name) else { return nil }
    let dtypes: [String: DType] = [
      "F32": .float32, "BF16": .bfloat16, "U8": .uint8, "I8": .int8,
    ]
    return dtypes[entry.dtype].map { Tensor(bytes: bytes, shape: Shape(entry.shape), dtype: $0) }
  }
}
