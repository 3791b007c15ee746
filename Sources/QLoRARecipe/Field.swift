// One row of the table of keys, and its description without types; it reads no files and knows no
// particular key.
import QLoRAJSON

/// A part of a recipe that is a JSON object.
package protocol RecipeSection: Sendable, Equatable {
  /// Every property at its default.
  init()
  static var fields: [Field<Self>] { get }
}

/// A key of `Section`: what it is, and how it goes in and out.
package struct Field<Section: Sendable>: Sendable {
  package let schema: FieldSchema
  let decode: @Sendable (RecipeNode, String, inout RecipeDecoder, inout Section) -> Void
  /// Nil where the canonical form leaves the key out.
  let encode: @Sendable (Section) -> JSONValue?
}

/// A key's description, which error messages, `--explain` and the JSON Schema are made from.
package struct FieldSchema: Sendable {
  package let key: String
  package let type: FieldType
  package let documentation: String
  package let unit: String?
  package let isRequired: Bool
  /// Nil for a required key and for one that the canonical form may leave out.
  package let defaultValue: JSONValue?
  /// What the key holds where it is not given; nil where that is nothing.
  package let assumedValue: JSONValue?
  /// The keys of a section, or of a list's elements; empty for a plain value.
  package let children: [FieldSchema]

  func child(_ key: String) -> FieldSchema? { children.first { $0.key == key } }
}

extension Field where Section: RecipeSection {
  /// A plain value.
  init<Value: RecipeValue>(
    _ key: String, _ path: WritableKeyPath<Section, Value> & Sendable, _ type: FieldType,
    _ documentation: String, unit: String? = nil, required: Bool = false,
    omitted: @escaping @Sendable (Section) -> Bool = { _ in false }
  ) {
    let blank = Section()
    let standard = required ? nil : blank[keyPath: path].recipeJSON
    schema = FieldSchema(
      key: key, type: type, documentation: documentation, unit: unit, isRequired: required,
      defaultValue: omitted(blank) ? nil : standard,
      assumedValue: standard.flatMap { type.problem(with: $0) == nil ? $0 : nil }, children: [])
    decode = { node, place, decoder, section in
      if let value: Value = decoder.value(node, place, type) { section[keyPath: path] = value }
    }
    encode = { omitted($0) ? nil : $0[keyPath: path].recipeJSON }
  }

  /// An object with keys of its own.
  init<Child: RecipeSection>(
    section key: String, _ path: WritableKeyPath<Section, Child> & Sendable,
    _ documentation: String, omitted: @escaping @Sendable (Section) -> Bool = { _ in false }
  ) {
    schema = FieldSchema(
      key: key, type: .section, documentation: documentation, unit: nil,
      isRequired: Child.fields.contains(where: \.schema.isRequired), defaultValue: nil,
      assumedValue: nil, children: Child.fields.map(\.schema))
    decode = { node, place, decoder, section in
      decoder.section(node, place, into: &section[keyPath: path])
    }
    encode = { omitted($0) ? nil : $0[keyPath: path].recipeJSON }
  }

  /// A list of objects.
  init<Element: RecipeSection>(
    list key: String, _ path: WritableKeyPath<Section, [Element]> & Sendable,
    _ documentation: String, required: Bool = false
  ) {
    schema = FieldSchema(
      key: key, type: .sections, documentation: documentation, unit: nil, isRequired: required,
      defaultValue: required ? nil : .list([]), assumedValue: required ? nil : .list([]),
      children: Element.fields.map(\.schema))
    decode = { node, place, decoder, section in
      section[keyPath: path] = decoder.sections(node, place, isRequired: required)
    }
    encode = { .list($0[keyPath: path].map(\.recipeJSON)) }
  }
}

extension RecipeSection {
  /// The canonical form: every key in the table's order.
  package var recipeJSON: JSONValue {
    .dictionary(
      Self.fields.compactMap { field in field.encode(self).map { (field.schema.key, $0) } })
  }
}

extension FieldSchema {
  /// The whole recipe as one section.
  package static let recipe = FieldSchema(
    key: "", type: .section, documentation: "A fine-tuning run of qlora.", unit: nil,
    isRequired: true, defaultValue: nil, assumedValue: nil, children: Recipe.fields.map(\.schema))

  /// The description at a dotted path; indexes of list elements are passed over.
  package func find(_ path: String) -> FieldSchema? {
    path.split(separator: ".", omittingEmptySubsequences: false).reduce(self as FieldSchema?) {
      guard let found = $0 else { return nil }
      return found.type == .sections && Int($1) != nil ? found : found.child(String($1))
    }
  }

  /// Every path below this one with its description, sections included, in the table's order.
  package func flattened(_ prefix: String = "") -> [(path: String, schema: FieldSchema)] {
    children.flatMap { child in
      let path = prefix.isEmpty ? child.key : "\(prefix).\(child.key)"
      return [(path, child)] + child.flattened(path)
    }
  }
}
