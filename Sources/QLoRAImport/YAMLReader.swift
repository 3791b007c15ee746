// Reads a YAML file as a JSON value, within bounds; what YAML can say and JSON cannot is refused or
// made plain: anchors are copied out, tags are ignored, words are resolved as YAML 1.1 does.
import QLoRADiagnostics
import QLoRAJSON
import Yams

enum YAMLReader {
  static let maximumBytes = 1 << 20
  static let maximumDepth = 32
  /// After anchors are copied out.
  static let maximumNodes = 100_000
  /// Configurations hold a handful. So few cannot multiply a text beyond a few hundred times its
  /// size, which is why a text with any has a bound of its own.
  static let maximumAliases = 16
  static let maximumBytesWithAliases = 1 << 16

  /// - Throws: `importSyntax` with the place, and `importTooLarge`.
  static func read(_ bytes: [UInt8], file: String) throws(Diagnostic) -> JSONValue {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Diagnostic(.importSyntax, "the file is not UTF-8 text", at: .file(file))
    }
    let aliases = aliasCount(bytes)
    let limit = aliases > 0 ? maximumBytesWithAliases : maximumBytes
    guard bytes.count <= limit, aliases <= maximumAliases else {
      throw tooLarge("\(bytes.count) bytes with \(aliases) aliases", file)
    }
    do {
      guard let root = try Parser(yaml: text).singleRoot() else { return .object([]) }
      var converter = Converter(file: file)
      return try converter.value(root, depth: 0)
    } catch let problem as Diagnostic {
      throw problem
    } catch let problem as YamlError {
      throw diagnostic(problem, file)
    } catch {
      throw Diagnostic(.importSyntax, "the file cannot be read as YAML", at: .file(file))
    }
  }

  fileprivate static func tooLarge(_ what: String, _ file: String) -> Diagnostic {
    Diagnostic(.importTooLarge, "\(what) are too much for a configuration", at: .file(file))
  }

  /// At least as many `*name` as the parser will find.
  private static func aliasCount(_ bytes: [UInt8]) -> Int {
    var count = 0
    var before = UInt8(ascii: "\n")
    for (index, byte) in bytes.enumerated() {
      if byte == UInt8(ascii: "*"), " \n\r\t[{,:".utf8.contains(before), index + 1 < bytes.count,
        !" \n\r\t".utf8.contains(bytes[index + 1])
      {
        count += 1
      }
      before = byte
    }
    return count
  }

  private static func diagnostic(_ problem: YamlError, _ file: String) -> Diagnostic {
    func at(_ mark: Mark) -> DiagnosticLocation {
      .position(file: file, line: mark.line, column: mark.column)
    }
    switch problem {
    case .scanner(_, let words, let mark, _), .parser(_, let words, let mark, _),
      .composer(_, let words, let mark, _):
      return Diagnostic(.importSyntax, "not YAML: \(words)", at: at(mark))
    case .duplicatedKeysInMapping(let keys, let context):
      return Diagnostic(
        .importSyntax, "the key \"\(keys.first ?? "")\" is there twice", at: at(context.mark),
        remedy: "delete one of the two")
    default: return Diagnostic(.importSyntax, "the file cannot be read as YAML", at: .file(file))
    }
  }
}

private struct Converter {
  let file: String
  private var nodes = 0

  init(file: String) { self.file = file }

  mutating func value(_ node: Node, depth: Int) throws(Diagnostic) -> JSONValue {
    nodes += 1
    guard depth <= YAMLReader.maximumDepth, nodes <= YAMLReader.maximumNodes else {
      throw YAMLReader.tooLarge("\(nodes) values, \(depth) levels deep,", file)
    }
    switch node {
    case .scalar(let scalar): return Self.scalar(scalar)
    case .sequence(let sequence):
      var elements: [JSONValue] = []
      for element in sequence { elements.append(try value(element, depth: depth + 1)) }
      return .list(elements)
    case .mapping(let mapping):
      var members: [JSONMember] = []
      var merged: [JSONMember] = []
      for (key, inner) in mapping {
        let converted = try value(inner, depth: depth + 1)
        guard let name = key.scalar?.string else { continue }
        if name == "<<" {
          merged += Self.mergedMembers(converted)
        } else {
          members.append(JSONMember(name, converted))
        }
      }
      let own = Set(members.map(\.key))
      return .object(members + merged.filter { !own.contains($0.key) })
    case .alias: return .null
    }
  }

  private static func mergedMembers(_ value: JSONValue) -> [JSONMember] {
    value.objectMembers ?? (value.arrayValue ?? []).flatMap { $0.objectMembers ?? [] }
  }

  private static func scalar(_ scalar: Node.Scalar) -> JSONValue {
    let text = scalar.string
    guard scalar.style == .plain || scalar.style == .any else { return .string(text) }
    switch text.lowercased() {
    case "", "~", "null": return .null
    case "true", "yes", "on": return .bool(true)
    case "false", "no", "off": return .bool(false)
    default: return number(text) ?? .string(text)
    }
  }

  /// `1e-4` is a number too, which some readers take for a string and convert later.
  private static func number(_ text: String) -> JSONValue? {
    let digits = text.replacing("_", with: "")
    guard let first = digits.utf8.first, "+-.0123456789".utf8.contains(first) else { return nil }
    if let integer = Int(digits) { return .int(integer) }
    return Double(digits).flatMap { $0.isFinite ? .double($0) : nil }
  }
}
