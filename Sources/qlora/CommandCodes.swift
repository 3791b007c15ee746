// The stable codes of the command line itself (E09xx), and all codes that `qlora explain` knows.
import QLoRADiagnostics
import QLoRAImport
import QLoRAPipeline
import QLoRARecipe
import QLoRAServing

extension DiagnosticCode {
  static let unexpected = DiagnosticCode(
    "E0900", .internalError,
    """
    Something failed that qlora has no name for. This is a defect of qlora: report it with the \
    message and the command.
    """)
  static let unknownCode = DiagnosticCode(
    "E0901", .usage,
    """
    `qlora explain` was given a code that this version does not have. Codes look like E0102; \
    `qlora explain` without one lists them all.
    """)
  static let unknownRecipeName = DiagnosticCode(
    "E0902", .inputMissing,
    """
    No recipe of this name comes with qlora, or its Recipes folder was not found beside the \
    program. `qlora recipes ls` lists them.
    """)
  static let outputInTheWay = DiagnosticCode(
    "E0903", .outputExists,
    """
    The file that would be written exists already, and qlora does not overwrite it. Choose \
    another name or delete the file.
    """)
  static let cannotWrite = DiagnosticCode(
    "E0904", .inputOutput,
    """
    A file could not be written: the folder does not exist, does not permit it, or the disk is \
    full. Nothing is left half-written.
    """)
  static let stopped = DiagnosticCode(
    "E0905", .stoppedResumable,
    """
    Training was stopped by a signal after a checkpoint had been committed. `qlora resume RUN` \
    continues exactly where it stopped.
    """)

  static let outputLost = DiagnosticCode(
    "E0906", .inputOutput,
    """
    What a command prints could not be written to stdout, usually because the disk that it is \
    redirected to is full. Files that the command wrote elsewhere are complete.
    """)

  static let wrongArguments = DiagnosticCode(
    "E0907", .usage,
    """
    The command line itself is wrong: an argument is missing, an option is unknown, or a value is \
    not one that the option takes. Nothing was read or written. --help of the command says what it \
    takes, with an example.
    """)

  static let allCommandCodes: [DiagnosticCode] = [
    .unexpected, .unknownCode, .unknownRecipeName, .outputInTheWay, .cannotWrite, .stopped,
    .outputLost, .wrongArguments, .portUnusable,
  ]

  /// Every module's codes, by number.
  static var all: [DiagnosticCode] {
    (allRecipeCodes + allImportCodes + Pipeline.allCodes + allCommandCodes).sorted {
      $0.number < $1.number
    }
  }
}

extension Diagnostic {
  static func lostOutput(_ number: Int32) -> Diagnostic {
    Diagnostic(
      .outputLost, "stdout cannot be written: \(Console.text(ofError: number))",
      remedy: "free some space there, then run the command again")
  }
}
