// Names of modules as recipes and PEFT write them: exact, by suffix, or by regular expression.

import QLoRADiagnostics

/// A list of patterns; an entry matches a module by its full name, by a suffix after ".", or as a
/// regular expression for the whole name.
package struct ModulePatterns {
  private let entries: [(text: String, pattern: Regex<AnyRegexOutput>)]

  /// - Throws: `badModulePattern` naming the entry that is no regular expression.
  package init(_ texts: [String]) throws {
    entries = try texts.map { text in
      do {
        return (text, try Regex(text))
      } catch {
        throw Diagnostic(
          .badModulePattern, "\"\(text)\" is not a regular expression: \(error)",
          remedy: "escape special characters with a backslash")
      }
    }
  }

  package func matches(_ module: String) -> Bool {
    entries.contains { Self.matches($0, module) }
  }

  /// The entries that match none of the modules: probably slips.
  package func unmatched(among modules: [String]) -> [String] {
    entries.filter { entry in !modules.contains { Self.matches(entry, $0) } }.map(\.text)
  }

  private static func matches(
    _ entry: (text: String, pattern: Regex<AnyRegexOutput>), _ module: String
  ) -> Bool {
    module == entry.text || module.hasSuffix("." + entry.text)
      || (try? entry.pattern.wholeMatch(in: module)) != nil
  }
}
