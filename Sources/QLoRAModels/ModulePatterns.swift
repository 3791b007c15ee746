// Names of modules as recipes and PEFT write them: exact, by suffix, or by regular expression.

import QLoRADiagnostics
import QLoRARegex

/// A list of patterns; an entry matches a module by its full name, by a suffix after ".", or as a
/// regular expression for the whole name.
package struct ModulePatterns {
  private let entries: [RegularExpression]

  /// - Throws: `badModulePattern` naming the entry that is no regular expression.
  package init(_ texts: [String]) throws(Diagnostic) {
    var entries: [RegularExpression] = []
    for text in texts {
      do {
        entries.append(try RegularExpression(text))
      } catch {
        throw Self.refusal(of: text, error)
      }
    }
    self.entries = entries
  }

  /// - Throws: `badModulePattern` naming the entry that finds no end.
  package func matches(_ module: String) throws(Diagnostic) -> Bool {
    for entry in entries where try Self.matches(entry, module) { return true }
    return false
  }

  /// The entries that match none of the modules: probably slips.
  ///
  /// - Throws: as `matches`.
  package func unmatched(among modules: [String]) throws(Diagnostic) -> [String] {
    var unmatched: [String] = []
    entries: for entry in entries {
      for module in modules where try Self.matches(entry, module) { continue entries }
      unmatched.append(entry.pattern)
    }
    return unmatched
  }

  private static func matches(
    _ entry: RegularExpression, _ module: String
  ) throws(Diagnostic) -> Bool {
    if module == entry.pattern || module.hasSuffix("." + entry.pattern) { return true }
    do {
      return try entry.matchesWhole(module)
    } catch {
      throw refusal(of: entry.pattern, error)
    }
  }

  private static func refusal(
    of pattern: String, _ error: RegularExpressionError
  ) -> Diagnostic {
    switch error {
    case .invalid(let reason):
      Diagnostic(
        .badModulePattern, "\"\(pattern)\" is not a regular expression: \(reason)",
        remedy: "escape special characters with a backslash")
    case .gaveUp:
      Diagnostic(
        .badModulePattern, "\"\(pattern)\" goes back and forth in a module's name without end",
        remedy: "write it without repetitions of repetitions, such as (a+)+")
    }
  }
}
