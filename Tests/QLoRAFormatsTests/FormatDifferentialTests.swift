// Files that Scripts/interop/format_differential.py made with the reference libraries, beside what
// those read in them. Runs only for that script, which names the folder.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import Testing

import QLoRAFormats

private let folder = ProcessInfo.processInfo.environment["QLORA_DIFFERENTIAL"]

@Suite(.enabled(if: folder != nil, "only Scripts/interop/format_differential.py runs it"))
struct FormatDifferentialTests {
  private struct Seen: Equatable {
    let name: String
    let dtype: String
    let shape: [Int]
    let bytes: String
  }

  private func names(_ suffix: String) throws -> [String] {
    let all = try FileManager.default.contentsOfDirectory(atPath: folder ?? "")
    return all.filter { $0.hasSuffix(suffix) }.sorted().map { String($0.dropLast(suffix.count)) }
  }

  /// What the reference read; nil where it refused.
  private func reference(_ name: String) throws -> [Seen]? {
    let json = try JSONValue(parsing: readBytes("\(folder ?? "")/\(name).json"))
    return json.arrayValue?.map { entry in
      Seen(
        name: entry["name"]?.stringValue ?? "", dtype: entry["dtype"]?.stringValue ?? "",
        shape: entry["shape"]?.arrayValue?.compactMap(\.intValue) ?? [],
        bytes: entry["bytes"]?.stringValue ?? "")
    }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  private func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  @Test func safetensors() throws {
    var counts: [String: Int] = [:]
    for name in try names(".safetensors") {
      let expected = try reference(name)
      do {
        let file = try SafetensorsFile(path: "\(folder ?? "")/\(name).safetensors")
        let found = try file.entries.map { entry in
          Seen(
            name: entry.name, dtype: entry.dtype.safetensorsName, shape: entry.shape.extents,
            bytes: hexadecimal(try file.readTensor(entry.name).withBytes { Array($0) }))
        }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        #expect(found == expected, "\(name): the reference sees something else")
        counts["safetensors both read", default: 0] += 1
      } catch let error as Diagnostic {
        let verdict = expected == nil ? "refused by both" : "stricter by \(error.code.number)"
        counts["safetensors \(verdict)", default: 0] += 1
      }
    }
    for (line, count) in counts { print("differential: \(line): \(count)") }
  }

  @Test func gguf() throws {
    var count = 0
    for name in try names(".gguf") {
      // Names that are one to Unicode and two to Python are refused.
      if let found = diagnostic({ _ = try GGUFFile(path: "\(folder ?? "")/\(name).gguf") }) {
        #expect(found.code == .ggufTensorName)
        print("differential: gguf stricter by \(found.code.number): 1")
        continue
      }
      let file = try GGUFFile(path: "\(folder ?? "")/\(name).gguf")
      let found = try file.tensors.map { tensor in
        var floats = [Float](repeating: 0, count: tensor.count)
        try floats.withUnsafeMutableBufferPointer {
          try file.readFloats(tensor.name, range: 0..<tensor.count, into: $0)
        }
        return Seen(
          name: tensor.name, dtype: tensor.type.name, shape: tensor.extents,
          bytes: floats.withUnsafeBytes { hexadecimal($0) })
      }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
      #expect(found == (try reference(name)), "\(name): the reference sees something else")
      count += 1
    }
    print("differential: gguf both read: \(count)")
  }
}
