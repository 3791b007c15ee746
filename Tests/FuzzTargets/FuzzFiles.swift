// The binary formats: what opens must also be readable to its last element.
import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

enum FuzzFiles {
  /// A whole file; or, where it begins with `{`, a header without its length, up to a zero byte,
  /// and the data, so that a changed header needs no changed length.
  static func safetensors(_ input: [UInt8]) throws {
    let path = ScratchFolder.shared.write(whole(input), "model.safetensors")
    let file = try SafetensorsFile(path: path)
    precondition(file.entries.allSatisfy { $0.byteRange.upperBound <= file.file.byteCount })
    for entry in file.entries {
      let tensor = try file.readTensor(entry.name)
      precondition(tensor.byteCount == entry.byteRange.count)
      try? ends(entry.shape.count) { try file.readFloats(entry.name, range: $0, into: $1) }
    }
    let weights = try SafetensorsWeightSource(ShardedSafetensors(files: [file]))
    for name in weights.names {
      try? ends(weights.shape(of: name).count) {
        try weights.readFloats(name, range: $0, into: $1)
      }
    }
  }

  private static func whole(_ input: [UInt8]) -> [UInt8] {
    guard input.first == UInt8(ascii: "{") else { return input }
    let (header, data) = halves(input)
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> ($0 * 8)) } + header + data
  }

  static func gguf(_ input: [UInt8]) throws {
    let file = try GGUFFile(path: ScratchFolder.shared.write(input, "model.gguf"))
    precondition(file.tensors.allSatisfy { $0.byteRange.upperBound <= input.count })
    for tensor in file.tensors {
      try ends(tensor.count) { try file.readFloats(tensor.name, range: $0, into: $1) }
    }
    guard file.metadata["general.architecture"]?.string == "llama" else { return }
    let config = try ModelConfig(gguf: file)
    let weights = try GGUFWeightSource(file, config: config)
    for name in weights.names {
      try ends(weights.shape(of: name).count) {
        try weights.readFloats(name, range: $0, into: $1)
      }
    }
  }

  /// Reads the first and the last elements of a tensor: those that could lie outside the file.
  private static func ends(
    _ count: Int, _ read: (Range<Int>, UnsafeMutableBufferPointer<Float>) throws -> Void
  ) throws {
    let some = 300
    for range in [0..<min(count, some), max(0, count - some)..<count] {
      var floats = [Float](repeating: 0, count: range.count)
      try floats.withUnsafeMutableBufferPointer { try read(range, $0) }
    }
  }
}
