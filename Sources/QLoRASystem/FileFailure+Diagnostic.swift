// What a failed system call means to a user, and every diagnostic code of this module (E07xx).
import CQLoRASystem
import QLoRADiagnostics

extension DiagnosticCode {
  package static let diskFull = DiagnosticCode(
    "E0701", .inputOutput,
    """
    The disk, or the quota on it, is full. Nothing committed was touched: the newest checkpoint \
    still loads. Free some space and run `qlora resume` on the run directory.
    """)
  package static let fileAccess = DiagnosticCode(
    "E0702", .inputOutput,
    """
    The operating system could not read or write a file. The message names the call and the path. \
    Committed checkpoints and exports were not touched; repair the disk or mount and run again.
    """)
  package static let pathMissing = DiagnosticCode(
    "E0703", .inputMissing,
    "A file or directory that was asked for does not exist. Check the spelling of the path.")
  package static let filePermission = DiagnosticCode(
    "E0704", .permission,
    """
    The file system refuses access: wrong owner, wrong mode, or mounted read-only. Change the \
    permissions or choose another output directory.
    """)
  package static let outputLocked = DiagnosticCode(
    "E0705", .outputExists,
    """
    Another process is writing into this run directory and holds its lock. Wait for it, stop it, \
    or choose another `output`. The lock goes away with its process; there is no file to delete.
    """)
  package static let outputExists = DiagnosticCode(
    "E0706", .outputExists,
    """
    The output already exists and is never overwritten silently. Choose another path, remove it, \
    or, for a run directory with a checkpoint, continue it with `qlora resume`.
    """)
  package static let checkpointDamaged = DiagnosticCode(
    "E0707", .badData,
    """
    A committed directory does not match its MANIFEST.json: a file is missing, has another size, \
    or other bytes than were written. `qlora resume` falls back to the newest checkpoint that is \
    intact; the damage itself usually means a failing disk or an edited file.
    """)
}

/// The codes that `qlora explain` knows from this module.
package enum SystemDiagnosticCodes {
  package static let allSystemCodes: [DiagnosticCode] =
    [
      .diskFull, .fileAccess, .pathMissing, .filePermission, .outputLocked, .outputExists,
      .checkpointDamaged,
    ] + DiagnosticCode.allInputCodes
}

extension FileFailure: DiagnosableError {
  package var isDiskFull: Bool { number == qlora_error_full || number == qlora_error_quota }

  private var code: DiagnosticCode {
    switch number {
    case qlora_error_full, qlora_error_quota: .diskFull
    case qlora_error_missing: .pathMissing
    case qlora_error_denied, qlora_error_not_permitted, qlora_error_read_only: .filePermission
    case qlora_error_exists, qlora_error_not_empty: .outputExists
    default: .fileAccess
    }
  }

  private var verb: String {
    switch operation {
    case .create, .makeDirectory, .makeLink: "create"
    case .openForAppending: "open for writing"
    case .reserve: "reserve space for"
    case .write: "write"
    case .truncate: "truncate"
    case .synchronize, .synchronizeDirectory: "flush to disk"
    case .rename: "rename"
    case .remove, .removeDirectory: "remove"
    case .read, .list, .status: "read"
    case .touch: "set the time of"
    case .freeSpace: "ask for the free space of"
    }
  }

  private var remedy: String? {
    switch code {
    case .diskFull: "free some space there, then run again or resume; nothing committed was lost"
    case .filePermission: "change its permissions or choose another path"
    case .pathMissing: "check the path"
    case .outputExists: "choose another path or remove it"
    default: "check the disk and its mount, then run again; nothing committed was lost"
    }
  }

  package var diagnostic: Diagnostic {
    Diagnostic(code, "cannot \(verb): \(reason)", at: .file(path), remedy: remedy)
  }

  private var reason: String {
    if number == FaultingFileSystem.crashNumber { return "simulated crash" }
    return PosixFileSystem.text(ofError: number)
  }
}

/// Turns failed calls into diagnostics at the edge of this module.
package func diagnosing<Result>(
  _ body: () throws(FileFailure) -> Result
) throws(Diagnostic) -> Result {
  do throws(FileFailure) { return try body() } catch { throw error.diagnostic }
}
