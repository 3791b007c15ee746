// Stretches of time as recipes spell them: `3h50m`, `90s`, `1d12h`.
import QLoRAJSON

extension Recipe.WallTime {
  /// Units from the longest, each at most once in a text and in this order.
  private static let units: [(name: Character, seconds: Int)] = [
    ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1),
  ]

  /// nil where the text is no time, is 0, or does not fit.
  package init?(_ text: String) {
    var seconds = 0
    var digits = ""
    var left = Self.units[...]
    for character in text {
      if character.isASCII, character.isNumber {
        digits.append(character)
        continue
      }
      guard let place = left.firstIndex(where: { $0.name == character }),
        let count = Int(digits)
      else { return nil }
      let (product, isLong) = count.multipliedReportingOverflow(by: left[place].seconds)
      let (sum, isLonger) = seconds.addingReportingOverflow(product)
      if isLong || isLonger { return nil }
      (seconds, digits, left) = (sum, "", left[(place + 1)...])
    }
    guard digits.isEmpty, seconds > 0 else { return nil }
    self.init(seconds: seconds)
  }

  /// The shortest spelling: `5400` seconds are `1h30m`.
  package var text: String {
    var left = seconds
    return Self.units.map { unit in
      let count = left / unit.seconds
      left %= unit.seconds
      return count > 0 ? "\(count)\(unit.name)" : ""
    }.joined()
  }
}

extension Recipe.WallTime: RecipeValue {
  package init?(recipeJSON value: JSONValue) {
    guard let text = value.stringValue else { return nil }
    self.init(text)
  }

  package var recipeJSON: JSONValue { .string(text) }
}
