// Checkpoint tensors as safetensors files.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor
import QLoRATraining

struct SafetensorsCodec: TensorFileCodec {
  func encode(
    _ tensors: [NamedTensor], metadata: [(name: String, value: String)],
    into write: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    // Other tools insist on the format key; ours come beside it.
    let ours = Dictionary(metadata.map { ($0.name, $0.value) }) { $1 }
    try SafetensorsWriter.write(
      tensors.map { (name: $0.name, tensor: $0.tensor) },
      metadata: SafetensorsWriter.defaultMetadata.merging(ours) { $1 }, to: write)
  }

  func decode(_ bytes: [UInt8], file: String) throws -> [NamedTensor] {
    let parsed = try SafetensorsFile(path: file)
    return try parsed.entries.map { NamedTensor($0.name, try parsed.readTensor($0.name)) }
  }
}
