// Makes the rows of the three files from tools, phrasings and pools; knows no file system.
import QLoRAJSON
import QLoRARandom

/// One request with its one right answer.
public struct CorpusRow: Sendable, Equatable {
  public let user: String
  /// The compact JSON of the call.
  public let answer: String
  let tool: String
  let phrasing: String
  let isKnownPhrasing: Bool
  /// The values drawn from pools, which the test rows may share with no other row.
  let openValues: [OpenValue]
}

/// A value and the pool that it came from.
struct OpenValue: Sendable, Equatable, Hashable {
  let pool: Pool
  let text: String
}

public enum Corpus {
  /// Fixed and short: it costs tokens in every row.
  public static let systemMessage = "Answer with one JSON tool call."

  /// The seed of the committed files.
  public static let seed: UInt64 = 2026

  /// The rows of a split: tools in equal shares, each tool's phrasings in equal shares; in the test
  /// rows every second one of a tool has an unknown phrasing. No request occurs twice.
  public static func rows(_ split: Split, seed: UInt64 = seed) -> [CorpusRow] {
    let stream = UInt64(Split.allCases.firstIndex(of: split) ?? 0)
    var generator = SplitMix64(seed: seed &* 0x1_0001 &+ stream)
    var rows: [CorpusRow] = []
    var seen: Set<String> = []
    while rows.count < split.rowCount {
      let tool = Tool.all[rows.count % Tool.all.count]
      let turn = rows.count / Tool.all.count
      let isKnown = split != .test || turn % 2 == 0
      let phrasings = isKnown ? tool.known : tool.unknown
      let phrasing = phrasings[(split == .test ? turn / 2 : turn) % phrasings.count]
      let row = makeRow(tool, phrasing, isKnown, split, &generator)
      if seen.insert(row.user.lowercased()).inserted { rows.append(row) }
    }
    generator.shuffle(&rows)
    return rows
  }

  /// The bytes of a committed file: one JSON object a line.
  public static func text(_ rows: [CorpusRow], _ split: Split) -> String {
    rows.map { JSONWriter.text(value($0, split)) + "\n" }.joined()
  }

  private static func value(_ row: CorpusRow, _ split: Split) -> JSONValue {
    func turn(_ role: String, _ content: String) -> JSONValue {
      .dictionary([("role", .string(role)), ("content", .string(content))])
    }
    var members: [(String, JSONValue)] = [
      (
        "messages",
        .list([
          turn("system", systemMessage), turn("user", row.user), turn("assistant", row.answer),
        ])
      )
    ]
    if split == .test {
      members.append(("phrasing", .string(row.isKnownPhrasing ? "known" : "unknown")))
    }
    return .dictionary(members)
  }

  private static func makeRow(
    _ tool: Tool, _ phrasing: String, _ isKnown: Bool, _ split: Split,
    _ generator: inout SplitMix64
  ) -> CorpusRow {
    var user = phrasing
    var arguments: [(String, JSONValue)] = []
    var openValues: [OpenValue] = []
    for argument in tool.arguments {
      let placeholder = "{\(argument.key)}"
      guard phrasing.contains(placeholder) else { continue }
      var value = argument.kind.draw(split, &generator)
      while openValues.contains(where: { $0.text == value.said }) {
        value = argument.kind.draw(split, &generator)
      }
      if case .open(let pool) = argument.kind {
        openValues.append(OpenValue(pool: pool, text: value.said))
      }
      user = user.replacing(placeholder, with: value.said)
      arguments.append((argument.key, value.answer))
    }
    let call = JSONValue.dictionary([
      ("tool", .string(tool.name)), ("arguments", .dictionary(arguments)),
    ])
    return CorpusRow(
      user: decorate(user, &generator), answer: JSONWriter.text(call), tool: tool.name,
      phrasing: phrasing, isKnownPhrasing: isKnown, openValues: openValues)
  }

  /// People begin a request with a greeting, with a capital, or just so.
  private static func decorate(_ user: String, _ generator: inout SplitMix64) -> String {
    switch generator.below(8) {
    case 0: "Hey, " + user
    case 1: "Hi, " + user
    case 2: "Okay, " + user
    case 3, 4, 5: user.prefix(1).uppercased() + user.dropFirst()
    default: user
    }
  }
}
