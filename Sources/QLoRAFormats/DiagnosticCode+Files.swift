// The codes of failures that come from a safetensors file (E0210…E0229); those of files as such are
// with InputFile.
import QLoRADiagnostics

extension DiagnosticCode {
  package static let safetensorsTooShort = DiagnosticCode(
    "E0210", .badData,
    "A safetensors file begins with an eight-byte length, and this one is shorter than that. It "
      + "was probably cut off while downloading.")
  package static let safetensorsHeaderLength = DiagnosticCode(
    "E0211", .badData,
    "The length at the start of a safetensors file is larger than 100,000,000 bytes, or reaches "
      + "beyond the end of the file. The file was cut off, or is no safetensors file.")
  package static let safetensorsHeaderSyntax = DiagnosticCode(
    "E0212", .badData,
    "The header of a safetensors file must be one UTF-8 JSON object that starts with its first "
      + "byte and is followed by nothing but spaces.")
  package static let safetensorsDuplicateKey = DiagnosticCode(
    "E0213", .badData,
    "A key stands twice in the header of a safetensors file. Two readers could then see two "
      + "different models in one file, so the file is refused.")
  package static let safetensorsMetadata = DiagnosticCode(
    "E0214", .badData,
    "`__metadata__` of a safetensors file must be an object whose values are strings.")
  package static let safetensorsEntry = DiagnosticCode(
    "E0215", .badData,
    "The description of a tensor in a safetensors header must hold exactly `dtype`, `shape` and "
      + "`data_offsets`, with plain non-negative integers.")
  package static let safetensorsDType = DiagnosticCode(
    "E0216", .badData,
    "A tensor has an element type that the safetensors format does not define.")
  package static let safetensorsUnsupportedDType = DiagnosticCode(
    "E0217", .badData,
    "A tensor has an element type of safetensors that this program does not compute with (4, 6 "
      + "and 8 bit floats, complex numbers). Use a 16 or 32 bit copy of the model.")
  package static let safetensorsOffsets = DiagnosticCode(
    "E0218", .badData,
    "The tensors of a safetensors file must cover its data from the first byte to the last, "
      + "without overlaps, holes or a remainder. Often the file was cut off while downloading.")
  package static let safetensorsSize = DiagnosticCode(
    "E0219", .badData,
    "A tensor's shape and element type ask for another number of bytes than its offsets span, or "
      + "for more than a 64-bit number can count.")
  package static let safetensorsLimit = DiagnosticCode(
    "E0220", .badData,
    "A safetensors header goes beyond a limit that keeps hostile files cheap to refuse: 131,072 "
      + "tensors, names of 1,024 bytes without control characters, 64 dimensions, 16 MiB of "
      + "metadata in 65,536 values.")
  package static let tensorMissing = DiagnosticCode(
    "E0221", .badData,
    "A tensor that the model needs is not in its files. The folder may be incomplete, or its "
      + "config.json may belong to another model.")
  package static let tensorRange = DiagnosticCode(
    "E0222", .internalError,
    "A part of a tensor was asked for that lies beyond its end. This is a mistake in the program; "
      + "please report it.")
  package static let tensorNotFloat = DiagnosticCode(
    "E0223", .badData,
    "A tensor of integers stands where weights are needed. Weights quantized to integers are read "
      + "only in the 4-bit format of bitsandbytes and in GGUF.")
  package static let shardIndex = DiagnosticCode(
    "E0224", .badData,
    "`model.safetensors.index.json` must map tensor names to file names of the same folder, each "
      + "of letters, digits, '.', '_' and '-' and ending in .safetensors.")
  package static let shardMismatch = DiagnosticCode(
    "E0225", .badData,
    "The index of a sharded model and its shards do not list the same tensors. A shard was "
      + "replaced, or belongs to another version of the model; download the folder again.")
  package static let safetensorsWrite = DiagnosticCode(
    "E0226", .internalError,
    "A safetensors file was written in another order, type or size than declared. This is a "
      + "mistake in the program; please report it.")

  package static let allFileCodes: [DiagnosticCode] = [
    safetensorsTooShort, safetensorsHeaderLength, safetensorsHeaderSyntax,
    safetensorsDuplicateKey, safetensorsMetadata, safetensorsEntry, safetensorsDType,
    safetensorsUnsupportedDType, safetensorsOffsets, safetensorsSize, safetensorsLimit,
    tensorMissing, tensorRange, tensorNotFloat, shardIndex, shardMismatch, safetensorsWrite,
  ]
}
