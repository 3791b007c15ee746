// The failures that only show when parts are put together, and the table of every code there is.

import QLoRACPU
import QLoRACUDA
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAHub
import QLoRAImage
import QLoRAModels
import QLoRASystem
import QLoRAText
import QLoRATraining

extension DiagnosticCode {
  package static let vocabularyMismatch = DiagnosticCode(
    "E0550", .badData,
    "The tokenizer knows more tokens than the model has embeddings, so some ids would have no row. "
      + "The tokenizer belongs to another model.")
  package static let vocabularyMissing = DiagnosticCode(
    "E0551", .badData,
    "A GGUF file without its vocabulary cannot turn text into tokens. Convert the model again with "
      + "its tokenizer files beside it.")
  package static let templateMissing = DiagnosticCode(
    "E0552", .badData,
    "Chat rows are rendered by the model's own chat template, and this model has none. Base models "
      + "usually lack one; their instruct versions have it.")
  package static let nothingToEvaluate = DiagnosticCode(
    "E0553", .badData, "The evaluation data hold no row with a labelled token.")
  package static let adapterBaseUnknown = DiagnosticCode(
    "E0554", .usage,
    "A command needs to know the base model. Give it with --model, or train the adapter with this "
      + "tool, which writes base_model_name_or_path into adapter_config.json.")
  package static let adapterRecordDamaged = DiagnosticCode(
    "E0583", .badData,
    "qlora.json beside an adapter says how its training held the base, and this one is no JSON or "
      + "lacks a value. Restore it from the run, or delete it: the adapter then loads as one of "
      + "another tool, and --quantization and --compute-dtype say how the base is to be held.")
  package static let inputChanged = DiagnosticCode(
    "E0555", .resumeRefused,
    "An input of the run (model, tokenizer, template or data) is not what it was when the run "
      + "began, so continuing would not give the run that was asked for. Restore the input, or "
      + "train into a new output directory.")
  package static let outputFolderExists = DiagnosticCode(
    "E0556", .outputExists,
    "The output already exists. Nothing is overwritten; choose another path or remove it first.")
  package static let emptyPrompt = DiagnosticCode(
    "E0557", .usage, "There is nothing to continue: the prompt is empty.")
  package static let activationBudgetTooSmall = DiagnosticCode(
    "E0558", .wouldNotFit,
    "The budget of training.activationMemory is smaller than the inputs of all blocks, which have "
      + "to be kept even if everything else is computed again. The message names the least that is "
      + "possible; it grows with the tokens of a micro-batch.")
  package static let memoryExceeded = DiagnosticCode(
    "E0559", .wouldNotFit,
    "The run would need more memory than this machine, or the container that it runs in, has left. "
      + "A smaller training.batchSize with more training.gradientAccumulation gives the same "
      + "updates; training.activationMemory trades time for memory.")
  package static let diskExceeded = DiagnosticCode(
    "E0560", .wouldNotFit,
    "The adapter and the checkpoints of the run would need more space than the disk has left at "
      + "its output. A smaller training.keep keeps fewer checkpoints.")

  package static let nothingToQuantize = DiagnosticCode(
    "E0561", .badData,
    "The model has no weight of a linear that is to be quantized: its matrices are all embeddings, "
      + "heads or norms, or `--skip` names them all.")

  package static let memoryBudgetTooSmall = DiagnosticCode(
    "E0563", .wouldNotFit,
    "maxMemory.cpu of a recipe, or --max-memory, is less than the process needs with every layer "
      + "of the model on the disk: the program, embedding and head, the buffers that layers are "
      + "read into, adapters with gradients and states, and the memory of a step. The message "
      + "names the least. In training a paged optimizer, training.activationMemory \"full\" and a "
      + "smaller batch lower it.")

  package static let resumeDiffers = DiagnosticCode(
    "E0565", .internalError,
    "A run that was stopped and resumed ended with other bits than one that was not. That is a "
      + "defect of qlora, or of the machine's memory: the same command run again tells which. The "
      + "message names the first file that differs, and where.")
  package static let proofStopped = DiagnosticCode(
    "E0566", .stoppedResumable,
    "`qlora verify-resume` was asked to stop before its runs could be compared. It keeps nothing, "
      + "so it begins anew the next time.")

  package static let trialStopped = DiagnosticCode(
    "E0575", .stoppedResumable,
    "`qlora plan --measure` was asked to stop before its steps were done. It keeps nothing, so it "
      + "begins anew the next time.")
  package static let promptTooLong = DiagnosticCode(
    "E0580", .usage,
    "The prompt has as many tokens as the model has positions, or more, so that no answer could "
      + "follow. Shorten it; in a chat, /reset begins anew.")
  package static let adaptersDisagree = DiagnosticCode(
    "E0581", .usage,
    "Adapters that are served together share one base, and these were trained on a base held in "
      + "different ways, such as NF4 and bfloat16. --quantization and --compute-dtype choose one "
      + "for all; an adapter answers best on the base that it was trained on.")
  package static let nameTaken = DiagnosticCode(
    "E0582", .usage,
    "Models are served by their names, so that the base and each adapter need one of their own. "
      + "--adapter NAME=PATH gives it.")

  package static let allPipelineCodes: [DiagnosticCode] = [
    vocabularyMismatch, vocabularyMissing, templateMissing, nothingToEvaluate, adapterBaseUnknown,
    inputChanged, outputFolderExists, emptyPrompt, activationBudgetTooSmall, memoryExceeded,
    diskExceeded, nothingToQuantize, memoryBudgetTooSmall, resumeDiffers, proofStopped,
    promptTooLong, adaptersDisagree, nameTaken, trialStopped, adapterRecordDamaged,
  ]
}

extension Pipeline {
  /// The codes of every module below the command line, for `qlora explain`.
  package static let allCodes: [DiagnosticCode] =
    DiagnosticCode.allFormatsCodes + TextDiagnostics.allTextCodes + DataDiagnostics.allDataCodes
    + DiagnosticCode.allModelCodes + DiagnosticCode.allImageCodes
    + DiagnosticCode.allPictureCodes
    + DiagnosticCode.allPipelineCodes
    + DiagnosticCode.allCacheCodes + DiagnosticCode.allHubCodes
    + TrainingDiagnosticCodes.allTrainingCodes + SystemDiagnosticCodes.allSystemCodes
    + DiagnosticCode.allCPUCodes + DiagnosticCode.allCUDACodes
}
