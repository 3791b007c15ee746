// `qlora validate RECIPE --explain KEY`: what a key is, what it holds, and who decided that.
import QLoRADiagnostics
import QLoRAJSON

package struct RecipeExplanation: Sendable {
  package let path: String
  package let schema: FieldSchema
  package let value: JSONValue
  package let origin: FieldOrigin

  /// - Throws: `recipeUnknownKey` where the recipe has no such key.
  package init(_ path: String, in resolved: ResolvedRecipe) throws(Diagnostic) {
    guard !path.isEmpty, let schema = FieldSchema.recipe.find(path) else {
      throw Diagnostic(
        .recipeUnknownKey, "a recipe has no key \"\(path)\"", at: .file("--explain \(path)"),
        remedy: KeyAdvice.remedy(forPath: path))
    }
    self.path = path
    self.schema = schema
    value = path.split(separator: ".").reduce(resolved.jsonValue) { value, key in
      if let index = Int(key), let elements = value.arrayValue {
        return elements.indices.contains(index) ? elements[index] : .null
      }
      return value[String(key)] ?? .null
    }
    origin = resolved.origin(of: path)
  }

  package var text: String {
    var lines = [
      "\(path) = \(JSONWriter.text(value, style: .spaced))",
      "  from     \(origin.description)",
      "  meaning  \(schema.documentation)",
      "  takes    \(schema.type.description)",
    ]
    if let standard = schema.assumedValue, standard != .string("") {
      lines.append("  default  \(JSONWriter.text(standard, style: .spaced))")
    } else if schema.isRequired {
      lines.append("  default  none; the key is required")
    }
    if let unit = schema.unit { lines.append("  unit     \(unit)") }
    if let example = FieldExamples.example(of: path) {
      lines.append("  example  \(JSONWriter.text(example, style: .spaced))")
    }
    lines.append("  set it   --set \(path)=VALUE or \(RecipeOverride.variable(for: path))")
    let foreign = RecipeAliases.table.filter { $0.value == path && !$0.key.contains(":") }.keys
    if !foreign.isEmpty {
      lines.append("  compare  \(foreign.sorted().joined(separator: ", "))")
    }
    return lines.joined(separator: "\n")
  }

  package var jsonValue: JSONValue {
    .dictionary([
      ("key", .string(path)), ("value", value), ("origin", .string(origin.description)),
      ("meaning", .string(schema.documentation)), ("takes", .string(schema.type.description)),
      ("default", schema.assumedValue ?? .null), ("unit", schema.unit.map { .string($0) } ?? .null),
      ("example", FieldExamples.example(of: path) ?? .null),
    ])
  }
}
