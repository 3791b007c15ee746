// Walks a recipe's tree beside the table of keys and gathers every error there is; what single
// values must look like is FieldType's affair, how keys fit together Recipe+Consistency's.
import QLoRADiagnostics
import QLoRAJSON

package struct RecipeDecoder {
  /// Enough to mend a recipe by; a file with more is none, and advice takes a millisecond each.
  static let maximumDiagnostics = 100

  let capabilities: Capabilities
  private(set) var diagnostics: [Diagnostic] = []
  /// Paths whose values were refused: what follows from the default in their place is no error.
  private(set) var refused: Set<String> = []
  /// Who decided each value that is not at its default, by dotted path.
  private(set) var origins: [String: FieldOrigin] = [:]

  init(capabilities: Capabilities) { self.capabilities = capabilities }

  mutating func report(
    _ code: DiagnosticCode, _ message: String, at origin: FieldOrigin?, remedy: String? = nil
  ) {
    guard !isFull else { return }
    diagnostics.append(Diagnostic(code, message, at: origin?.location, remedy: remedy))
  }

  private var isFull: Bool { diagnostics.count >= Self.maximumDiagnostics }

  /// Reads an object's keys into `section`; a key that is absent leaves its default.
  mutating func section<Section: RecipeSection>(
    _ node: RecipeNode, _ path: String, into section: inout Section
  ) {
    guard !isFull else { return }
    guard let members = node.members else {
      report(FieldType.section.wrongType(node.json), path, node.origin)
      return
    }
    var firsts: [String: RecipeNode] = [:]
    let present = Set(members.map(\.key))
    for member in members where !isFull {
      let key = member.key
      if let first = firsts[key] {
        reportDuplicate(key, path, first: first.origin, second: member.node.origin)
      } else if let field = Section.fields.first(where: { $0.schema.key == key }) {
        firsts[key] = member.node
        let place = Self.join(path, key)
        origins[place] = member.node.origin
        field.decode(member.node, place, &self, &section)
      } else if path.isEmpty, key == "$schema" {
        _ = value(member.node, key, .text) as String?
      } else {
        firsts[key] = member.node
        let advice = KeyAdvice(key: key, level: path, present: present)
        report(
          .recipeUnknownKey, "unknown key \"\(key)\"\(Self.inside(path))",
          at: member.node.origin, remedy: advice.remedy)
      }
    }
    for field in Section.fields where field.schema.isRequired && firsts[field.schema.key] == nil {
      reportMissing(field.schema, path, at: node.origin)
    }
  }

  mutating func sections<Element: RecipeSection>(
    _ node: RecipeNode, _ path: String, isRequired: Bool
  ) -> [Element] {
    guard case .list(let nodes) = node.content else {
      report(FieldType.sections.wrongType(node.json), path, node.origin)
      return []
    }
    if nodes.isEmpty, isRequired {
      report(.recipeOutOfRange, "\(path) must name at least one file", at: node.origin)
    }
    return nodes.enumerated().map { index, node in
      var element = Element()
      origins["\(path).\(index)"] = node.origin
      section(node, "\(path).\(index)", into: &element)
      return element
    }
  }

  /// The value of a plain key; nil, and reported, where it does not fit.
  mutating func value<Value: RecipeValue>(
    _ node: RecipeNode, _ path: String, _ type: FieldType
  ) -> Value? {
    let json = node.json
    if var problem = type.problem(with: json) {
      if let advice = RecipeAliases.advice(onWord: json.stringValue, at: path) {
        problem.remedy = advice
      }
      report(problem, path, node.origin)
      return nil
    }
    if let words = capabilities.available[path], !words.contains(json.stringValue ?? "") {
      report(
        .recipeUnavailable,
        "\(path) \(FieldType.show(json)) is not available in this version of qlora",
        at: node.origin, remedy: "use \(FieldType.either(words))")
      return nil
    }
    guard let value = Value(recipeJSON: json) else {
      report(type.wrongType(json), path, node.origin)
      return nil
    }
    return value
  }

  private mutating func report(_ problem: ValueProblem, _ path: String, _ origin: FieldOrigin) {
    refused.insert(path)
    let name = path.isEmpty ? "the recipe" : path + problem.place
    report(problem.code, "\(name) \(problem.message)", at: origin, remedy: problem.remedy)
  }

  private mutating func reportDuplicate(
    _ key: String, _ path: String, first: FieldOrigin, second: FieldOrigin
  ) {
    var place = ""
    if case .recipe(_, let line, let column) = first { place = ", first on \(line):\(column)" }
    report(
      .recipeDuplicateKey, "duplicate key \"\(key)\"\(Self.inside(path))\(place)", at: second,
      remedy: "delete one of the two")
  }

  /// Names a missing key at the deepest level: `model.path`, not `model`.
  private mutating func reportMissing(
    _ schema: FieldSchema, _ path: String, at origin: FieldOrigin
  ) {
    let place = Self.join(path, schema.key)
    guard schema.type == .section else {
      report(
        .recipeMissingKey, "\(place) is missing; it is required", at: origin,
        remedy: KeyAdvice.example(of: place))
      return
    }
    for child in schema.children where child.isRequired {
      reportMissing(child, place, at: origin)
    }
  }

  private static func join(_ path: String, _ key: String) -> String {
    path.isEmpty ? key : "\(path).\(key)"
  }

  private static func inside(_ path: String) -> String { path.isEmpty ? "" : " in \(path)" }
}
