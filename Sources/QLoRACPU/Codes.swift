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
  package static let int16Unavailable = DiagnosticCode(
    "E0805", .usage,
    """
    The compute dtype `int16` needs 16-bit dot products (AVX-512 VNNI: Intel servers since Cascade \
    Lake, AMD since Zen 4), which this CPU or the kernels that QLORA_ISA names do not have. \
    Without them it would only be slower and less exact: set `model.computeDType` to `bfloat16` or \
    `float32`. QLORA_ISA=reference computes the same bits, slowly.
    """)

  /// All codes of this module.
  package static let allCPUCodes: [DiagnosticCode] = [
    .instructionSetMissing, .weightShapeInvalid, .weightNotFinite, .weightIncomplete,
    .int16Unavailable,
  ]
}
