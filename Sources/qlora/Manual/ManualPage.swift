// Manual pages in the man(7) macros, which every `man` reads, made from what --help says.

struct ManualPage {
  let command: CommandDescription
  /// Such as `swift-qlora 0.1.0`.
  let version: String

  /// Such as `qlora-recipes-cp`; with `.1` the file's name.
  var name: String { command.words.joined(separator: "-") }

  var text: String {
    var lines = [".TH \(name.uppercased()) 1 \"\" \"\(version)\" \"User Commands\""]
    lines += [".SH NAME", "\(Self.escaped(name)) \\- \(Self.escaped(summary))"]
    lines += [".SH SYNOPSIS"] + synopsis
    let (prose, example) = Self.parts(of: command.discussion)
    lines += [".SH DESCRIPTION"] + Self.paragraphs(prose.isEmpty ? command.abstract : prose)
    let places = command.arguments.filter { $0.kind == .positional }
    let options = command.arguments.filter { $0.kind != .positional }
    lines += list("ARGUMENTS", places.map { ("<\($0.valueName)>", Self.meaning($0)) })
    lines += list("OPTIONS", options.map { (Self.spelling($0), Self.meaning($0)) })
    lines += list(
      "COMMANDS", command.subcommands.map { ($0.words.joined(separator: " "), $0.abstract) })
    if !example.isEmpty {
      lines += [".SH EXAMPLES", ".EX"] + example.map(Self.escaped) + [".EE"]
    }
    return (lines + seeAlso).joined(separator: "\n") + "\n"
  }

  /// The abstract without its full stop, as NAME sections have it.
  private var summary: String {
    command.abstract.hasSuffix(".") ? String(command.abstract.dropLast()) : command.abstract
  }

  private var synopsis: [String] {
    let words = command.words.joined(separator: " ")
    var parts = ["\\fB\(Self.escaped(words))\\fR"]
    if !command.subcommands.isEmpty { parts.append("<command>") }
    for argument in command.arguments where !Self.isCommon(argument) {
      let value = "\\fI\(Self.escaped(argument.valueName))\\fR"
      let text =
        switch argument.kind {
        case .positional: value
        case .option: "\(Self.escaped(argument.names.last ?? "")) \(value)"
        case .flag: Self.escaped(argument.names.last ?? "")
        }
      let repeated = argument.isRepeating ? " ..." : ""
      parts.append(argument.isOptional ? "[\(text)\(repeated)]" : text + repeated)
    }
    return [parts.joined(separator: " ")]
  }

  private var seeAlso: [String] {
    let parents = (1..<max(1, command.words.count)).map { command.words.prefix($0) }
    let names =
      parents.map { $0.joined(separator: "-") }
      + command.subcommands.map { $0.words.joined(separator: "-") }
    guard !names.isEmpty else { return [] }
    let references = names.map { "\\fB\(Self.escaped($0))\\fR(1)" }
    return [".SH SEE ALSO", references.joined(separator: ", ")]
  }

  private func list(_ title: String, _ entries: [(term: String, meaning: String)]) -> [String] {
    guard !entries.isEmpty else { return [] }
    return [".SH \(title)"]
      + entries.flatMap { entry in
        [".TP", "\\fB\(Self.escaped(entry.term))\\fR", Self.line(entry.meaning)]
      }
  }

  /// --help and --version stand on every page, and say nothing of this one.
  private static func isCommon(_ argument: CommandDescription.Argument) -> Bool {
    argument.names.contains("--help") || argument.names.contains("--version")
  }

  private static func spelling(_ argument: CommandDescription.Argument) -> String {
    let names = argument.names.joined(separator: ", ")
    return argument.kind == .option ? "\(names) <\(argument.valueName)>" : names
  }

  private static func meaning(_ argument: CommandDescription.Argument) -> String {
    guard let value = argument.defaultValue, !value.isEmpty else { return argument.abstract }
    return "\(argument.abstract) Default: \(value)."
  }

  /// What a discussion says, and the lines of its example.
  private static func parts(of discussion: String) -> (prose: String, example: [String]) {
    guard let range = discussion.firstRange(of: /Examples?:\n/) else { return (discussion, []) }
    let example = discussion[range.upperBound...].split(
      separator: "\n", omittingEmptySubsequences: false)
    return (
      String(discussion[..<range.lowerBound]),
      example.map { String($0.hasPrefix("  ") ? $0.dropFirst(2) : $0) }
    )
  }

  /// Indented lines stay as they are.
  private static func paragraphs(_ text: String) -> [String] {
    var lines: [String] = []
    var isExample = false
    for part in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let isIndented = part.hasPrefix("  ")
      if isIndented != isExample { lines.append(isIndented ? ".EX" : ".EE") }
      isExample = isIndented
      lines.append(part.isEmpty ? ".PP" : line(String(part)))
    }
    if isExample { lines.append(".EE") }
    while lines.last == ".PP" { lines.removeLast() }
    return lines
  }

  /// A line of text: what begins like a request is none.
  private static func line(_ text: String) -> String {
    let escaped = escaped(text)
    return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
  }

  private static func escaped(_ text: String) -> String {
    let plain = text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
    return plain.unicodeScalars.reduce(into: "") { result, scalar in
      if scalar.isASCII {
        result.unicodeScalars.append(scalar)
      } else {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        result += "\\[u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "]"
      }
    }
  }
}
