// The codes of failures that come from a model folder, its configuration, its quantized weights or
// an adapter (E0250…E0279).
import QLoRADiagnostics

extension DiagnosticCode {
  package static let modelMissing = DiagnosticCode(
    "E0250", .inputMissing,
    "There is no model at the path. Give a folder with config.json and safetensors files, one "
      + "safetensors file beside its config.json, or a .gguf file.")
  package static let configMissing = DiagnosticCode(
    "E0251", .inputMissing,
    "A model in safetensors needs its config.json in the same folder.")
  package static let configInvalid = DiagnosticCode(
    "E0252", .badData,
    "A value of the model's configuration is missing, of the wrong kind, or contradicts another.")
  package static let architectureUnsupported = DiagnosticCode(
    "E0253", .badData,
    "The model is of an architecture that this program does not know, or has a part that it does "
      + "not compute. Docs/Models.md lists the families of decoders that it trains; "
      + "Docs/HowTo/add-an-architecture.md tells how one is added.")
  package static let quantizationUnsupported = DiagnosticCode(
    "E0254", .badData,
    "The model was quantized by a method that this program does not read. It reads 16 and 32 bit "
      + "floats, the 4-bit and 8-bit formats of bitsandbytes, and GGUF. Use the unquantized model.")
  package static let ropeUnsupported = DiagnosticCode(
    "E0255", .badData,
    "The model scales its rotary positions in a way that this program does not compute. Known are "
      + "`default`, `linear`, `dynamic`, `llama3`, `yarn` and `longrope`.")
  package static let ownCodeIgnored = DiagnosticCode(
    "E0256", .badData,
    "config.json names Python code that comes with the model (`auto_map`), for libraries that are "
      + "told to trust it. It is never run here: the model is computed as its family is, which is "
      + "right where the code is only an older copy of that. Compare an answer with the library's "
      + "where you aren't sure.")

  package static let fourBitState = DiagnosticCode(
    "E0260", .badData,
    "The quantization state of a 4-bit weight is not the JSON that bitsandbytes writes, or asks "
      + "for a block size or type that the format does not have.")
  package static let fourBitTensor = DiagnosticCode(
    "E0261", .badData,
    "A tensor that belongs to a 4-bit weight is missing, or its size does not fit the weight's "
      + "shape and block size.")

  package static let quantizationContradiction = DiagnosticCode(
    "E0262", .badData,
    "The `quantization_config` of config.json says something else of the weights than their "
      + "tensors do, such as another type, or 4 bits where none are. Files of two models were "
      + "probably mixed.")
  package static let alreadyQuantized = DiagnosticCode(
    "E0263", .badData,
    "Only plain weights can be quantized. Use the model's unquantized form, or `qlora dequantize` "
      + "the folder first.")

  package static let int8Tensor = DiagnosticCode(
    "E0264", .badData,
    "The scales of an 8-bit weight are missing or of another number than its rows, or its codes "
      + "are not in row-major order.")

  package static let adapterMissing = DiagnosticCode(
    "E0270", .inputMissing,
    "An adapter folder holds adapter_config.json and adapter_model.safetensors; one of them is "
      + "not there.")
  package static let adapterConfig = DiagnosticCode(
    "E0271", .badData,
    "A value of adapter_config.json is missing or of the wrong kind, or asks for a method other "
      + "than LoRA, or for a form of LoRA that is not applied here, such as DoRA.")
  package static let adapterKeys = DiagnosticCode(
    "E0272", .badData,
    "The tensors of an adapter do not come in pairs lora_A and lora_B of fitting shapes, are of "
      + "another rank than r and rank_pattern of adapter_config.json say, or one of them is of a "
      + "kind that this program does not apply. An adapter is never applied in part.")
  package static let adapterEmpty = DiagnosticCode(
    "E0273", .badData, "The adapter file holds no tensor, so there is nothing to apply.")

  package static let allModelFileCodes: [DiagnosticCode] = [
    modelMissing, configMissing, configInvalid, architectureUnsupported, quantizationUnsupported,
    ropeUnsupported, ownCodeIgnored, fourBitState, fourBitTensor, quantizationContradiction,
    alreadyQuantized,
    int8Tensor,
    adapterMissing, adapterConfig, adapterKeys,
    adapterEmpty,
  ]

  /// Every code of this module, for `qlora explain`.
  package static let allFormatsCodes = allFileCodes + allGGUFCodes + allModelFileCodes
}
