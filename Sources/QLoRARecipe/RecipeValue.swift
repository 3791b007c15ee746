// Conversions between a recipe's typed values and JSON; ranges and choices are FieldType's affair.
import QLoRAJSON

/// A type that a plain key can have. `init` is called on values that its FieldType has accepted.
package protocol RecipeValue: SendableMetatype {
  init?(recipeJSON value: JSONValue)
  var recipeJSON: JSONValue { get }
}

extension Bool: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    guard let flag = value.boolValue else { return nil }
    self = flag
  }
  package var recipeJSON: JSONValue { .bool(self) }
}

extension JSONValue {
  /// An integer, which JSON Schema lets one write as 3.0 too.
  var wholeNumber: Int? { intValue ?? doubleValue.flatMap { Int(exactly: $0) } }
}

extension Int: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    guard let number = value.wholeNumber else { return nil }
    self = number
  }
  package var recipeJSON: JSONValue { .int(self) }
}

extension Double: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    guard let number = value.doubleValue else { return nil }
    self = number
  }
  package var recipeJSON: JSONValue { .double(self) }
}

extension String: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    guard let text = value.stringValue else { return nil }
    self = text
  }
  package var recipeJSON: JSONValue { .string(self) }
}

extension Optional: RecipeValue where Wrapped: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    if value.isNull {
      self = Optional.none
    } else if let wrapped = Wrapped(recipeJSON: value) {
      self = wrapped
    } else {
      return nil
    }
  }
  package var recipeJSON: JSONValue { self?.recipeJSON ?? .null }
}

extension Array: RecipeValue where Element: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    guard let values = value.arrayValue else { return nil }
    let elements = values.compactMap { Element(recipeJSON: $0) }
    guard elements.count == values.count else { return nil }
    self = elements
  }
  package var recipeJSON: JSONValue { .list(map(\.recipeJSON)) }
}

extension Dictionary: RecipeValue where Key == String, Value == String {
  package init?(recipeJSON value: JSONValue) {
    guard let members = value.objectMembers else { return nil }
    self.init(members.map { ($0.key, $0.value.stringValue ?? "") }) { first, _ in first }
  }
  package var recipeJSON: JSONValue {
    .dictionary(sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
  }
}

extension RecipeValue where Self: RawRepresentable, RawValue == String {
  package init?(recipeJSON value: JSONValue) {
    guard let text = value.stringValue else { return nil }
    self.init(rawValue: text)
  }
  package var recipeJSON: JSONValue { .string(rawValue) }
}

extension Recipe.Quantization.Kind: RecipeValue {}
extension Recipe.Optimizer.Kind: RecipeValue {}
extension Recipe.Schedule.Kind: RecipeValue {}
extension Recipe.Data.OverLength: RecipeValue {}
extension Recipe.Data.TrainOn: RecipeValue {}
extension Recipe.RowFormat: RecipeValue {}
extension Recipe.Task: RecipeValue {}
extension Recipe.OnNonFinite: RecipeValue {}
extension Recipe.Image.Timesteps: RecipeValue {}
extension Recipe.Image.Weighting: RecipeValue {}

extension Recipe.Targets: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    if let text = value.stringValue {
      self = text == "all-linear" ? .allLinear : .pattern(text)
    } else if let names = [String](recipeJSON: value) {
      self = .names(names)
    } else {
      return nil
    }
  }
  package var recipeJSON: JSONValue {
    switch self {
    case .allLinear: .string("all-linear")
    case .pattern(let pattern): .string(pattern)
    case .names(let names): names.recipeJSON
    }
  }
}

extension Recipe.ActivationMemory: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    switch value.stringValue {
    case "none": self = .none
    case "full": self = .full
    case "host": self = .host
    case let text?:
      guard let bytes = ByteCount.parse(text) else { return nil }
      self = .budget(bytes: bytes)
    case nil:
      guard let bytes = value.wholeNumber else { return nil }
      self = .budget(bytes: bytes)
    }
  }
  package var recipeJSON: JSONValue {
    switch self {
    case .none: .string("none")
    case .full: .string("full")
    case .host: .string("host")
    case .budget(let bytes): .string(ByteCount.spell(bytes))
    }
  }
}

extension Recipe.ByteSize: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    guard let bytes = value.stringValue.map(ByteCount.parse) ?? value.wholeNumber else {
      return nil
    }
    self.bytes = bytes
  }
  package var recipeJSON: JSONValue { .string(ByteCount.spell(bytes)) }
}

/// Sizes such as `512MiB`.
package enum ByteCount {
  private static let units: [(name: String, bytes: Int)] = [
    ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("B", 1),
  ]

  /// Bytes of a whole number and a unit; nil where it is neither or too large.
  package static func parse(_ text: String) -> Int? {
    for unit in units where text.hasSuffix(unit.name) {
      let digits = text.dropLast(unit.name.count).filter { $0 != " " }
      guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }),
        let count = Int(digits)
      else { return nil }
      let (bytes, overflows) = count.multipliedReportingOverflow(by: unit.bytes)
      return overflows || bytes == 0 ? nil : bytes
    }
    return nil
  }

  /// The size in MiB, rounded up, so that it is enough where it is used as a budget.
  package static func atLeast(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20)MiB" }

  /// The exact size in the largest binary unit that divides it.
  package static func spell(_ bytes: Int) -> String {
    for unit in units.prefix(4) where bytes > 0 && bytes % unit.bytes == 0 {
      return "\(bytes / unit.bytes)\(unit.name)"
    }
    return "\(bytes)B"
  }
}
