// What a key may hold, as data: the check of a value, the words of its error message and the JSON
// Schema are all derived from these cases.
import QLoRAJSON

package indirect enum FieldType: Sendable, Equatable {
  case boolean
  case integer(ClosedRange<Int>)
  case powerOfTwo(ClosedRange<Int>)
  case number(NumberRange)
  /// A string that is not empty.
  case text
  /// A text that can be a file's name.
  case fileName
  case path
  case choice([String])
  case list(FieldType)
  case optional(FieldType)
  /// An object of strings.
  case textMap
  case targets
  case byteBudget
  /// Bytes, or a size such as `3GiB`.
  case byteCount
  /// A stretch of time such as `3h50m`.
  case duration
  /// An object whose keys are the schema's children.
  case section
  /// A list of such objects.
  case sections
}

/// An interval of finite numbers.
package struct NumberRange: Sendable, Equatable {
  package let lower: Double
  package let includesLower: Bool
  /// Excluded; nil where there is no upper bound.
  package let upper: Double?

  static func atLeast(_ lower: Double, below upper: Double? = nil) -> NumberRange {
    NumberRange(lower: lower, includesLower: true, upper: upper)
  }

  static func above(_ lower: Double) -> NumberRange {
    NumberRange(lower: lower, includesLower: false, upper: nil)
  }

  func contains(_ value: Double) -> Bool {
    guard value.isFinite, value > lower || (includesLower && value == lower) else { return false }
    return upper.map { value < $0 } ?? true
  }

  var description: String {
    let start = "\(includesLower ? "at least" : "above") \(NumberRange.spell(lower))"
    return upper.map { "\(start) and below \(NumberRange.spell($0))" } ?? start
  }

  private static func spell(_ value: Double) -> String {
    Int(exactly: value).map(String.init) ?? JSONWriter.spell(value)
  }
}

extension FieldType {
  /// What the key takes, as the end of "… must be ".
  package var description: String {
    switch self {
    case .boolean: "true or false"
    case .integer(let range): "an integer\(FieldType.spell(range))"
    case .powerOfTwo(let range): "a power of two\(FieldType.spell(range))"
    case .number(let range): "a number \(range.description)"
    case .text: "a string that is not empty"
    case .fileName: "a string that can name a folder (no \"/\", not empty)"
    case .path: "a path as a string"
    case .choice(let words): FieldType.either(words)
    case .list(let element): "a list of which each element is \(element.description)"
    case .optional(let type): "\(type.description), or null"
    case .textMap: "an object of strings"
    case .targets: "\"all-linear\", a regular expression, or a list of names"
    case .byteBudget: "\"none\", \"full\", \"host\" or a size such as \"512MiB\""
    case .byteCount: "a size such as \"3GiB\""
    case .duration: "a time such as \"3h50m\" or \"90s\""
    case .section: "an object"
    case .sections: "a list of objects"
    }
  }

  /// `"a", "b" or "c"`.
  static func either(_ words: [String]) -> String {
    let quoted = words.map { "\"\($0)\"" }
    guard let last = quoted.last, quoted.count > 1 else { return quoted.first ?? "" }
    return "\(quoted.dropLast().joined(separator: ", ")) or \(last)"
  }

  private static func spell(_ range: ClosedRange<Int>) -> String {
    range.upperBound == Int.max
      ? " of at least \(range.lowerBound)" : " from \(range.lowerBound) to \(range.upperBound)"
  }
}
