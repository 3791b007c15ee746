// The text of a template with its line numbers, and the limits that hostile templates run into.
import QLoRADiagnostics

/// What protects a run against a hostile or broken template.
package struct TemplateLimits: Sendable {
  package var sourceBytes = 1 << 20
  /// Nesting of expressions and of statements.
  package var syntaxDepth = 200
  /// Levels of evaluation at once, over all macros that are running.
  package var evaluationDepth = 600
  package var macroDepth = 100
  /// Nesting of lists and mappings made by the template.
  package var valueDepth = 100
  package var steps = 3_000_000
  package var rangeLength = 100_000
  package var outputBytes = 16 << 20
  /// Characters written to intermediate strings, over a whole rendering.
  package var textWork = 48 << 20

  package init() {}
}

struct TemplateSource: Sendable {
  let scalars: [Unicode.Scalar]
  let limits: TemplateLimits
  private let lineStarts: [Int]
  /// The name under which messages speak of the template.
  private let name: String

  /// Line ends become `\n`, and one at the very end is dropped, as Jinja does.
  init(_ text: String, _ limits: TemplateLimits, name: String) throws(Diagnostic) {
    guard text.utf8.count <= limits.sourceBytes else {
      throw Diagnostic(
        .templateLimit,
        "the chat template has \(text.utf8.count) bytes; at most "
          + "\(limits.sourceBytes) are allowed", at: .file(name))
    }
    var scalars: [Unicode.Scalar] = []
    var lineStarts = [0]
    var wasReturn = false
    for scalar in text.unicodeScalars {
      defer { wasReturn = scalar == "\r" }
      if scalar == "\n", wasReturn { continue }
      scalars.append(scalar == "\r" ? "\n" : scalar)
      if scalars.last == "\n" { lineStarts.append(scalars.count) }
    }
    if scalars.last == "\n" { scalars.removeLast() }
    self.scalars = scalars
    self.limits = limits
    self.name = name
    self.lineStarts = lineStarts
  }

  func failure(_ code: DiagnosticCode, _ message: String, at offset: Int) -> Diagnostic {
    let line = max((lineStarts.firstIndex { $0 > offset } ?? lineStarts.count) - 1, 0)
    return Diagnostic(
      code, message,
      at: .position(file: name, line: line + 1, column: offset - lineStarts[line] + 1))
  }
}
