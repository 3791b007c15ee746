// The failures of compute backends, for `qlora explain`.
import QLoRADiagnostics

extension DiagnosticCode {
  package static let instructionSetMissing = DiagnosticCode(
    "E0801", .usage,
    """
    The environment variable QLORA_ISA, or a caller, asked for SIMD kernels that this program does \
    not have or this CPU cannot run. Unset the variable to let the program choose; `reference` \
    runs everywhere, slowly.
    """)
  package static let weightShapeInvalid = DiagnosticCode(
    "E0802", .badData,
    """
    A weight matrix cannot be quantized or loaded as described: its block size is none of 32, 64, \
    128 … 4096, a dimension is not positive, or its parts have other lengths than its shape needs. \
    Choose another `blockSize`, or fetch the model file again if it came from one.
    """)
  package static let weightNotFinite = DiagnosticCode(
    "E0803", .badData,
    """
    A weight holds a NaN or an infinity, which 4-bit blocks cannot hold: the scale of its whole \
    block would be lost. The model file is damaged, or was saved by a diverged training.
    """)
  package static let weightIncomplete = DiagnosticCode(
    "E0804", .badData,
    """
    A weight ended before, or went on after, the number of elements that its shape has. The model \
    file is cut off or its header disagrees with its data.
    """)

  /// All codes of this module.
  package static let allCPUCodes: [DiagnosticCode] = [
    .instructionSetMissing, .weightShapeInvalid, .weightNotFinite, .weightIncomplete,
  ]
}
