// The codes of failures that come from a GGUF file (E0230…E0249), and of writing one (E0280).
import QLoRADiagnostics

extension DiagnosticCode {
  package static let ggufMagic = DiagnosticCode(
    "E0230", .badData,
    "A GGUF file begins with the letters GGUF; this one does not, so it is of another kind or was "
      + "damaged. Download it again.")
  package static let ggufVersion = DiagnosticCode(
    "E0231", .badData,
    "GGUF versions 2 and 3 are read. Older files must be converted again with a present "
      + "llama.cpp; a newer version needs a newer release of this program.")
  package static let ggufBigEndian = DiagnosticCode(
    "E0232", .badData,
    "The GGUF file was written for big-endian machines, which this program does not support. Use "
      + "the usual little-endian file.")
  package static let ggufTruncated = DiagnosticCode(
    "E0233", .badData,
    "A GGUF file ends inside its header. It was probably cut off while downloading.")
  package static let ggufLimit = DiagnosticCode(
    "E0234", .badData,
    "A GGUF header counts more things than the file has room for, or goes beyond a limit that "
      + "keeps hostile files cheap to refuse: 65,536 tensors and as many metadata pairs, 900,000 "
      + "strings of 16 MiB at most, 2,097,152 numbers in arrays, 256 MiB of header.")
  package static let ggufText = DiagnosticCode(
    "E0235", .badData,
    "A key or a text in a GGUF file is not valid UTF-8. The file was damaged, or its converter "
      + "broke the format.")
  package static let ggufKey = DiagnosticCode(
    "E0236", .badData,
    "A metadata key of a GGUF file is empty, longer than 65,535 bytes, or stands there twice.")
  package static let ggufValueType = DiagnosticCode(
    "E0237", .badData,
    "A metadata value of a GGUF file is of a type that the format does not define.")
  package static let ggufArray = DiagnosticCode(
    "E0238", .badData,
    "A metadata array of a GGUF file holds arrays, or more elements than the file has room for.")
  package static let ggufBool = DiagnosticCode(
    "E0239", .badData,
    "A boolean of a GGUF file must be a byte of 0 or 1. The file was damaged, or its converter "
      + "broke the format.")
  package static let ggufAlignment = DiagnosticCode(
    "E0240", .badData,
    "`general.alignment` of a GGUF file must be a 32-bit unsigned power of two.")
  package static let ggufTensorName = DiagnosticCode(
    "E0241", .badData,
    "A tensor name of a GGUF file is empty, of 64 bytes or more, or stands there twice.")
  package static let ggufTensorShape = DiagnosticCode(
    "E0242", .badData,
    "A tensor of a GGUF file has more than four dimensions, more elements than 64 bits count, or "
      + "rows that are no multiple of the block of its type.")
  package static let ggufTensorType = DiagnosticCode(
    "E0243", .badData,
    "A tensor of a GGUF file is of a type that llama.cpp removed or that the format does not "
      + "define.")
  package static let ggufUnsupportedType = DiagnosticCode(
    "E0244", .badData,
    "A tensor of a GGUF file is of a type that this program does not decode. It reads F32, F16, "
      + "BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K; take a file of one of these.")
  package static let ggufTensorOffset = DiagnosticCode(
    "E0245", .badData,
    "The tensors of a GGUF file must follow one another, each at the next multiple of the "
      + "alignment.")
  package static let ggufTensorData = DiagnosticCode(
    "E0246", .badData,
    "A tensor of a GGUF file reaches beyond the end of the file. It was probably cut off while "
      + "downloading.")
  package static let ggufMetadata = DiagnosticCode(
    "E0247", .badData,
    "A metadata value that the model needs is missing in the GGUF file, or of another type.")
  package static let ggufVocabulary = DiagnosticCode(
    "E0248", .badData,
    "The vocabulary of a GGUF file contradicts itself: lists of different lengths, or a special "
      + "token outside the vocabulary.")

  package static let ggufWrite = DiagnosticCode(
    "E0249", .internalError,
    "A GGUF file was written in another order, type or size than declared. This is a mistake in "
      + "the program; please report it.")

  package static let ggufNumber = DiagnosticCode(
    "E0280", .badData,
    "A weight that is to be written as GGUF holds a NaN, an infinity, or a number that the chosen "
      + "type has no room for. F16 ends at 65,504; BF16 and F32 hold every float.")
  package static let allGGUFCodes: [DiagnosticCode] = [
    ggufMagic, ggufVersion, ggufBigEndian, ggufTruncated, ggufLimit, ggufText, ggufKey,
    ggufValueType, ggufArray, ggufBool, ggufAlignment, ggufTensorName, ggufTensorShape,
    ggufTensorType, ggufUnsupportedType, ggufTensorOffset, ggufTensorData, ggufMetadata,
    ggufVocabulary, ggufWrite, ggufNumber,
  ]
}
