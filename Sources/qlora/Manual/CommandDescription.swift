// What the parser knows of a command, taken from the JSON that it describes itself with.
import ArgumentParser
import QLoRAJSON

/// A command with its arguments and subcommands, the ones that help does not show left out.
struct CommandDescription {
  struct Argument {
    enum Kind: String { case positional, option, flag }

    let kind: Kind
    /// As they are written, dashes included; none of a positional argument.
    let names: [String]
    let valueName: String
    let abstract: String
    let defaultValue: String?
    let isOptional: Bool
    let isRepeating: Bool
  }

  /// The words that call it, such as `qlora`, `recipes`, `cp`.
  let words: [String]
  let abstract: String
  let discussion: String
  let arguments: [Argument]
  let subcommands: [CommandDescription]

  /// The whole program.
  static func root() throws -> CommandDescription {
    // The parser has the description only as the text of an exit.
    var text = ""
    do {
      _ = try QLoRACommand.parseAsRoot(["--experimental-dump-help"])
    } catch {
      text = QLoRACommand.fullMessage(for: error)
    }
    let json = try JSONValue(parsing: text)
    return CommandDescription(json["command"] ?? .null, below: [])
  }

  private init(_ json: JSONValue, below parents: [String]) {
    words = parents + [json["commandName"]?.stringValue ?? ""]
    abstract = json["abstract"]?.stringValue ?? ""
    discussion = json["discussion"]?.stringValue ?? ""
    arguments = (json["arguments"]?.arrayValue ?? []).compactMap(Argument.init)
    let words = words
    subcommands = (json["subcommands"]?.arrayValue ?? [])
      .filter { $0["shouldDisplay"]?.boolValue ?? true && $0["commandName"]?.stringValue != "help" }
      .map { CommandDescription($0, below: words) }
  }

  /// This command and all below it, from top to bottom.
  var all: [CommandDescription] { [self] + subcommands.flatMap(\.all) }
}

extension CommandDescription.Argument {
  fileprivate init?(_ json: JSONValue) {
    guard json["shouldDisplay"]?.boolValue ?? true,
      let kind = (json["kind"]?.stringValue).flatMap(Kind.init)
    else { return nil }
    self.kind = kind
    names = (json["names"]?.arrayValue ?? []).compactMap { name in
      guard let word = name["name"]?.stringValue else { return nil }
      return (name["kind"]?.stringValue == "long" ? "--" : "-") + word
    }
    valueName = json["valueName"]?.stringValue ?? "value"
    abstract = json["abstract"]?.stringValue ?? ""
    defaultValue = kind == .flag ? nil : json["defaultValue"]?.stringValue
    isOptional = json["isOptional"]?.boolValue ?? true
    isRepeating = json["isRepeating"]?.boolValue ?? false
  }
}
