// The recipe's JSON Schema, for editors and other tools, made from the table. What a schema can't
// state, such as which keys an optimizer has, Docs/Recipes.md lists.
import QLoRAJSON

package enum RecipeSchema {
  /// Nothing that a recipe's schema says differs between the drafts but their names.
  package enum Draft: String, Sendable, CaseIterable {
    case latest = "2020-12"
    case seven = "07"

    var uri: String {
      switch self {
      case .latest: "https://json-schema.org/draft/2020-12/schema"
      case .seven: "http://json-schema.org/draft-07/schema#"
      }
    }
  }

  package static func jsonValue(
    _ draft: Draft = .latest, capabilities: Capabilities = .current
  ) -> JSONValue {
    let writer = SchemaWriter(capabilities: capabilities)
    let own: JSONValue = .dictionary([
      ("type", "string"), ("description", "Where this schema is, for editors."),
    ])
    return .dictionary(
      [
        ("$schema", .string(draft.uri)), ("title", "qlora recipe"),
        ("description", .string(FieldSchema.recipe.documentation)),
      ] + writer.object(.recipe, "", extra: [("$schema", own)]))
  }
}

private struct SchemaWriter {
  /// Words of a choice that this version lacks are not offered.
  let capabilities: Capabilities

  private func describe(_ field: FieldSchema, _ path: String) -> JSONValue {
    let unit = field.unit.map { " Unit: \($0)." } ?? ""
    var pairs: [(String, JSONValue)] = [("description", .string(field.documentation + unit))]
    switch field.type {
    case .section: pairs += object(field, path)
    case .sections:
      pairs += [("type", "array"), ("items", .dictionary(object(field, path)))]
      if field.isRequired { pairs.append(("minItems", .int(1))) }
    case .choice: pairs += Self.value(available(field.type, path))
    default: pairs += Self.value(field.type)
    }
    if let standard = field.assumedValue, standard != .string("") {
      pairs.append(("default", standard))
    }
    if let example = FieldExamples.example(of: path) {
      pairs.append(("examples", .list([example])))
    }
    if let unit = field.unit { pairs.append(("x-unit", .string(unit))) }
    return .dictionary(pairs)
  }

  private func available(_ type: FieldType, _ path: String) -> FieldType {
    guard case .choice(let words) = type, let some = capabilities.available[path] else {
      return type
    }
    return .choice(words.filter(some.contains))
  }

  func object(
    _ field: FieldSchema, _ path: String, extra: [(String, JSONValue)] = []
  ) -> [(String, JSONValue)] {
    let properties = field.children.map { child in
      (child.key, describe(child, path.isEmpty ? child.key : "\(path).\(child.key)"))
    }
    var pairs: [(String, JSONValue)] = [
      ("type", "object"), ("properties", .dictionary(extra + properties)),
      ("additionalProperties", .bool(false)),
    ]
    let required = field.children.filter(\.isRequired).map { JSONValue.string($0.key) }
    if !required.isEmpty { pairs.append(("required", .list(required))) }
    if path == "training" {
      pairs.append(("not", .dictionary([("required", ["epochs", "steps"])])))
    }
    return pairs
  }
  private static func value(_ type: FieldType) -> [(String, JSONValue)] {
    switch type {
    case .boolean: [("type", "boolean")]
    case .integer(let range):
      [
        ("type", "integer"), ("minimum", .int(range.lowerBound)),
        ("maximum", .int(range.upperBound)),
      ]
    case .powerOfTwo(let range):
      [
        (
          "enum",
          .list((0..<62).map { 1 << $0 }.filter(range.contains).map { JSONValue.int($0) })
        )
      ]
    case .number(let range):
      [
        ("type", "number"),
        (range.includesLower ? "minimum" : "exclusiveMinimum", .double(range.lower)),
      ] + (range.upper.map { [("exclusiveMaximum", .double($0))] } ?? [])
    case .text, .path: [("type", "string"), ("pattern", .string("^[\(plain)]+$"))]
    case .fileName:
      [("type", "string"), ("pattern", .string("^(?!\\.{1,2}$)[\(plain)/]+$"))]
    case .choice(let words): [("enum", .list(words.map { .string($0) }))]
    case .list(let element): [("type", "array"), ("items", .dictionary(value(element)))]
    case .optional(let inner):
      [("anyOf", .list([.dictionary(value(inner)), .dictionary([("type", "null")])]))]
    case .textMap:
      [("type", "object"), ("additionalProperties", .dictionary([("type", "string")]))]
    case .targets:
      [
        (
          "anyOf",
          .list([
            .dictionary(value(.text)),
            .dictionary(value(.list(.text)) + [("minItems", .int(1))]),
          ])
        )
      ]
    case .byteBudget:
      [
        (
          "anyOf", .list([.dictionary([("enum", .list(["none", "full", "host"]))])] + byteSizes)
        )
      ]
    case .byteCount: [("anyOf", .list(byteSizes))]
    case .duration:
      [
        ("type", "string"),
        ("pattern", "^(?=.*[1-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"),
      ]
    case .section, .sections: []
    }
  }

  /// No control characters: the inside of a negated class.
  private static let plain = "^\\u0000-\\u001F\\u007F"

  private static let byteSizes: [JSONValue] = [
    .dictionary([
      ("type", "string"), ("pattern", "^[0-9 ]*[1-9][0-9 ]*([KMGT]i|[kMGT])?B$"),
    ]),
    .dictionary([("type", "integer"), ("minimum", .int(1))]),
  ]
}
