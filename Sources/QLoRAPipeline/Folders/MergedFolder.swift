// A merged model as a Hugging Face folder, written one piece at a time.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

struct MergedFolder {
  let weights: MergedWeights
  let source: ModelSource
  let dtype: DType
  let shardBytes: Int

  /// Writes the folder in one piece: it appears complete or not at all.
  func write(to output: String) throws {
    // The small files first: what they refuse should not come after gigabytes were written.
    let writer = FolderWriter(
      shardBytes: shardBytes,
      companions: try FolderCompanions(
        origin: source.origin, config: source.config, dtype: dtype
      ).files())
    try writer.write(
      try weights.names.map { weights.tensors($0, try weights.shape(of: $0), as: dtype) },
      to: output)
  }
}
