// The recipe's JSON Schema (draft 2020-12), for editors and other tools, made from the table.
import QLoRAJSON

package enum RecipeSchema {
  package static var jsonValue: JSONValue {
    let root = object(FieldSchema.recipe, extra: [("$schema", .dictionary([("type", "string")]))])
    return .dictionary(
      [
        ("$schema", "https://json-schema.org/draft/2020-12/schema"),
        ("title", "qlora recipe"),
        ("description", .string(FieldSchema.recipe.documentation)),
      ] + root)
  }

  private static func describe(_ field: FieldSchema) -> JSONValue {
    let unit = field.unit.map { " Unit: \($0)." } ?? ""
    var pairs: [(String, JSONValue)] = [("description", .string(field.documentation + unit))]
    switch field.type {
    case .section: pairs += object(field)
    case .sections:
      pairs += [("type", "array"), ("items", .dictionary(object(field)))]
      if field.isRequired { pairs.append(("minItems", .int(1))) }
    default: pairs += value(field.type)
    }
    if let standard = field.defaultValue, standard != .string("") {
      pairs.append(("default", standard))
    }
    return .dictionary(pairs)
  }

  private static func object(
    _ field: FieldSchema, extra: [(String, JSONValue)] = []
  ) -> [(String, JSONValue)] {
    var pairs: [(String, JSONValue)] = [
      ("type", "object"),
      ("properties", .dictionary(extra + field.children.map { ($0.key, describe($0)) })),
      ("additionalProperties", .bool(false)),
    ]
    let required = field.children.filter(\.isRequired).map { JSONValue.string($0.key) }
    if !required.isEmpty { pairs.append(("required", .list(required))) }
    return pairs
  }

  private static func value(_ type: FieldType) -> [(String, JSONValue)] {
    switch type {
    case .boolean: [("type", "boolean")]
    case .integer(let range):
      [("type", "integer"), ("minimum", .int(range.lowerBound))]
        + (range.upperBound == Int.max ? [] : [("maximum", .int(range.upperBound))])
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
    case .text, .path: [("type", "string"), ("minLength", .int(1))]
    case .fileName: [("type", "string"), ("pattern", "^[^/]+$")]
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
            .dictionary([("type", "string"), ("minLength", .int(1))]),
            .dictionary(value(.list(.text)) + [("minItems", .int(1))]),
          ])
        )
      ]
    case .byteBudget:
      [
        (
          "anyOf", .list([.dictionary([("enum", .list(["none", "full"]))])] + byteSizes)
        )
      ]
    case .byteCount: [("anyOf", .list(byteSizes))]
    case .duration:
      [("type", "string"), ("pattern", "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$")]
    case .section, .sections: []
    }
  }

  private static let byteSizes: [JSONValue] = [
    .dictionary([("type", "string"), ("pattern", "^[0-9]+ *([KMGT]i|[kMGT])?B$")]),
    .dictionary([("type", "integer"), ("minimum", .int(1))]),
  ]
}
