// Another tool's configuration as a recipe, with what became of each of its keys.
import QLoRADiagnostics
import QLoRAJSON
import QLoRARecipe
import QLoRASystem

package struct ImportedRecipe: Sendable {
  package enum Tool: String, Sendable, CaseIterable {
    case axolotl, torchtune, peft
    case llamaFactory = "llama-factory"
  }

  package let tool: Tool
  /// Only the keys that something was said of, in the recipe's own order.
  package let recipe: JSONValue
  package let notes: [ImportNote]

  /// The recipe's file.
  package var text: String { JSONWriter.text(recipe, style: .indented) + "\n" }

  /// - Throws: for a file that cannot be read, `importSyntax`, `importTooLarge`, `importUnknown`.
  package init(path: String, from tool: Tool? = nil) throws {
    let bytes = try InputFile(path: path).wholeBytes(limit: YAMLReader.maximumBytes)
    try self.init(bytes: bytes, file: path, from: tool)
  }

  package init(bytes: [UInt8], file: String, from tool: Tool? = nil) throws {
    let root = Interpolation.resolved(try YAMLReader.read(bytes, file: file))
    guard let tool = tool ?? Tool(recognizing: root) else {
      throw Diagnostic(
        .importUnknown, "this is the configuration of no tool that qlora knows", at: .file(file),
        remedy: "name the tool with --from: "
          + Tool.allCases.map(\.rawValue).joined(separator: ", "))
    }
    var importer = ConfigImporter(root)
    switch tool {
    case .axolotl: importer.importAxolotl()
    case .torchtune: importer.importTorchtune()
    case .llamaFactory: importer.importLlamaFactory()
    case .peft: importer.importPEFT()
    }
    self.tool = tool
    notes = importer.notes
    recipe = Self.tree(importer.draft)
    // What cannot be read back would be a defect of the rules; its errors say which.
    _ = try RecipeLoader.load(bytes: Array(text.utf8), file: file)
  }

  /// How many keys of the configuration have this fate.
  package func count(_ fate: ImportNote.Fate) -> Int { notes.count { $0.fate == fate } }

  private static func tree(_ draft: [String: JSONValue]) -> JSONValue {
    func members(_ schema: FieldSchema, _ prefix: String) -> [(String, JSONValue)] {
      schema.children.compactMap { child in
        let path = prefix + child.key
        if child.type == .section {
          let inner = members(child, path + ".")
          return inner.isEmpty ? nil : (child.key, .dictionary(inner))
        }
        return draft[path].map { (child.key, $0) }
      }
    }
    return .dictionary(members(.recipe, ""))
  }
}

extension ImportedRecipe.Tool {
  /// The tool whose keys these are.
  init?(recognizing root: JSONValue) {
    func has(_ keys: String...) -> Bool { keys.contains { root[$0] != nil } }
    if has("peft_type") {
      self = .peft
    } else if root["model"]?["_component_"] != nil || has("checkpointer") {
      self = .torchtune
    } else if has("base_model") {
      self = .axolotl
    } else if has("model_name_or_path", "finetuning_type") {
      self = .llamaFactory
    } else {
      return nil
    }
  }
}

/// OmegaConf's `${output_dir}`, by which torchtune's configurations repeat a value.
enum Interpolation {
  static func resolved(_ root: JSONValue) -> JSONValue { resolve(root, root) }

  private static func resolve(_ value: JSONValue, _ root: JSONValue) -> JSONValue {
    switch value {
    case .string(let text): return replace(text, root)
    case .array(let elements):
      return .array(elements.map { JSONElement(resolve($0.value, root), at: $0.position) })
    case .object(let members):
      return .object(
        members.map { JSONMember($0.key, resolve($0.value, root), at: $0.position) })
    default: return value
    }
  }

  /// One step is enough: a value that is named holds no name itself in any real file.
  private static func replace(_ text: String, _ root: JSONValue) -> JSONValue {
    guard let start = text.firstRange(of: "${"),
      let end = text[start.upperBound...].firstIndex(of: "}")
    else { return .string(text) }
    let name = text[start.upperBound..<end]
    guard let found = name.split(separator: ".").reduce(root as JSONValue?, { $0?[String($1)] })
    else { return .string(text) }
    let after = text[text.index(after: end)...]
    if start.lowerBound == text.startIndex, after.isEmpty { return found }
    guard let inner = found.stringValue else { return .string(text) }
    return .string(text[..<start.lowerBound] + inner + after)
  }
}
