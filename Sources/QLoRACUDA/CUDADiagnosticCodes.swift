// The codes of what can go wrong with a GPU (E081x).
import QLoRADiagnostics

extension DiagnosticCode {
  package static let cudaLibraryMissing = DiagnosticCode(
    "E0811", .usage,
    """
    The recipe asks for a GPU, and a library that this takes is not there, does not load or does \
    not start: NVIDIA's driver (libcuda), NVRTC or cuBLASLt. `qlora doctor` says which. The \
    driver comes with the system's packages; the other two with the CUDA toolkit, or with pip: \
    nvidia-cuda-nvrtc-cu12 and nvidia-cublas-cu12. Elsewhere, name their folder in \
    QLORA_CUDA_PATH. With device "cpu" none is needed.
    """)
  package static let cudaDriverTooOld = DiagnosticCode(
    "E0812", .usage,
    """
    The GPU's driver is older than what the kernels need, which is CUDA 12: it says so, or lacks \
    functions that such a driver has. Update the driver; device "cpu" needs none.
    """)
  package static let cudaDeviceMissing = DiagnosticCode(
    "E0813", .usage,
    """
    The driver is there and shows no GPU that this program can use: none is plugged in or lent to \
    this container, CUDA_VISIBLE_DEVICES hides it, or it is older than level 8.0 (Ampere).
    """)
  package static let deviceMemoryExhausted = DiagnosticCode(
    "E0814", .wouldNotFit,
    """
    The GPU has not enough free memory, or the host has none that the GPU could reach. For a run \
    `qlora plan` shows what is needed for what: set training.activationMemory to "full", lower \
    training.batchSize or data.maxTokens. For an answer, shorten the prompt or hold the model \
    smaller with --quantization nf4. End other programs that use the GPU (nvidia-smi lists them). \
    A run keeps its checkpoints, and `qlora resume` goes on from the last where there is room again.
    """)
  package static let kernelNotCompiled = DiagnosticCode(
    "E0815", .internalError,
    """
    NVRTC refused one of this program's own kernels; its log is in the message. Please report it \
    with the output of `qlora doctor`. Another version of NVRTC may accept it; device "cpu" needs \
    none.
    """)
  package static let deviceLost = DiagnosticCode(
    "E0816", .stoppedResumable,
    """
    The GPU stopped answering: it fell off the bus, was reset, or a kernel failed. Of a run, what \
    was computed since the last checkpoint is lost and nothing else; `qlora resume` goes on from \
    there. Where it happens again, look into the system's log for messages of the \
    driver.
    """)

  /// The codes that `qlora explain` knows from this module.
  package static let allCUDACodes: [DiagnosticCode] = [
    cudaLibraryMissing, cudaDriverTooOld, cudaDeviceMissing, deviceMemoryExhausted,
    kernelNotCompiled, deviceLost,
  ]
}
