// The stable codes of importing configurations, E012x.
import QLoRADiagnostics

extension DiagnosticCode {
  static let importSyntax = DiagnosticCode(
    "E0120", .usage,
    """
    A configuration that was to be imported is not YAML, or a key stands in it twice. The message \
    says where.
    """)
  static let importTooLarge = DiagnosticCode(
    "E0121", .usage,
    """
    A configuration that was to be imported is larger than 1 MiB, deeper than 32 levels, or \
    multiplies itself by anchors and aliases, of which it may have 16 in 64 KiB. No real one is.
    """)
  static let importUnknown = DiagnosticCode(
    "E0122", .usage,
    """
    A configuration that was to be imported is none of axolotl, torchtune, LLaMA-Factory or PEFT, \
    as far as its keys tell. `--from` says which it is.
    """)

  /// For `qlora explain`.
  package static let allImportCodes: [DiagnosticCode] = [
    .importSyntax, .importTooLarge, .importUnknown,
  ]
}
