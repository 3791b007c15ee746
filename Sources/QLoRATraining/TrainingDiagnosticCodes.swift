// Every diagnostic code of this module (E06xx).
import QLoRADiagnostics

extension DiagnosticCode {
  package static let lossNotFinite = DiagnosticCode(
    "E0601", .diverged,
    """
    The loss became infinite or not a number. The step was abandoned before the optimizer saw it, \
    so the newest checkpoint is sound. Usual causes: a learning rate that is too high, no gradient \
    clipping, or a weight file with bad values (`qlora inspect --verify`).
    """)
  package static let gradientNotFinite = DiagnosticCode(
    "E0602", .diverged,
    """
    The gradient of a parameter became infinite or not a number, though the loss was finite. The \
    update was not made. Lower the learning rate or, with computeDType float16, use bfloat16.
    """)
  package static let parameterNotFinite = DiagnosticCode(
    "E0603", .diverged,
    """
    An adapter parameter is infinite or not a number after an update, so no checkpoint was made \
    of it. The checkpoint before is sound; lower the learning rate and start from there.
    """)
  package static let nothingToTrain = DiagnosticCode(
    "E0604", .badData,
    "There is no step to train: the data gave no sequence, or `training.steps` is 0.")
  package static let resumeIdentity = DiagnosticCode(
    "E0605", .resumeRefused,
    """
    The recipe, the base model, the tokenizer, the template or the data are not the ones that the \
    checkpoint was made with, so the run could not continue bit for bit. Restore them, or train \
    into a new directory.
    """)
  package static let checkpointMismatch = DiagnosticCode(
    "E0606", .resumeRefused,
    """
    An intact checkpoint holds other tensors, or another format version, than this run needs. It \
    was made with another recipe or by another version of the program.
    """)
  package static let stoppedBySignal = DiagnosticCode(
    "E0607", .stoppedResumable,
    """
    The run was asked to stop, and did so after a good checkpoint. `qlora resume` continues it bit \
    for bit.
    """)
  package static let runHasCheckpoint = DiagnosticCode(
    "E0608", .outputExists,
    """
    `qlora train` starts afresh, and the output directory already holds a committed checkpoint. \
    Continue that run with `qlora resume`, or choose another output directory.
    """)
  package static let deviceChanged = DiagnosticCode(
    "E0609", .resumeRefused,
    """
    The checkpoint was made by other kernels than the ones that continue the run. Training goes on \
    soundly, but not bit for bit as it would have on the first machine: kernels differ in how they \
    round. `QLORA_ISA` chooses kernels that both processors have.
    """)
}

/// The codes that `qlora explain` knows from this module.
package enum TrainingDiagnosticCodes {
  package static let allTrainingCodes: [DiagnosticCode] = [
    .lossNotFinite, .gradientNotFinite, .parameterNotFinite, .nothingToTrain, .resumeIdentity,
    .checkpointMismatch, .stoppedBySignal, .runHasCheckpoint, .deviceChanged,
  ]
}
