// A JSON value that keeps member order and source positions, which recipes' error messages need
// and Foundation's decoder does not offer. It is not a Codable coder.

/// Where a value begins in its text; line and column count from 1, columns in bytes.
public struct JSONPosition: Sendable, Equatable {
  public let line: Int
  public let column: Int
  public let offset: Int

  public init(line: Int, column: Int, offset: Int) {
    self.line = line
    self.column = column
    self.offset = offset
  }

  public static let unknown = JSONPosition(line: 0, column: 0, offset: 0)
}

/// One `"key": value` of an object, in the order of the text.
public struct JSONMember: Sendable, Equatable {
  public let key: String
  public var value: JSONValue
  public let position: JSONPosition

  public init(_ key: String, _ value: JSONValue, at position: JSONPosition = .unknown) {
    self.key = key
    self.value = value
    self.position = position
  }

  public static func == (left: Self, right: Self) -> Bool {
    JSONValue.isSame(left.key, right.key) && left.value == right.value
  }
}

/// A parsed JSON text. Numbers keep their spelling, so integers of 64 bits stay exact.
public indirect enum JSONValue: Sendable {
  case null
  case bool(Bool)
  case number(JSONNumber)
  case string(String)
  case array([JSONElement])
  case object([JSONMember])
}

extension JSONValue: Equatable {
  public static func == (left: Self, right: Self) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let left), .bool(let right)): left == right
    case (.number(let left), .number(let right)): left == right
    case (.string(let left), .string(let right)): isSame(left, right)
    case (.array(let left), .array(let right)): left == right
    case (.object(let left), .object(let right)): left == right
    default: false
    }
  }

  /// Whether two strings have the same scalars. Swift's `==` also calls strings equal that Unicode
  /// calls canonically equivalent, which a vocabulary keeps apart.
  static func isSame(_ left: String, _ right: String) -> Bool {
    left.utf8.elementsEqual(right.utf8)
  }
}

/// An array element with its position.
public struct JSONElement: Sendable, Equatable {
  public var value: JSONValue
  public let position: JSONPosition

  public init(_ value: JSONValue, at position: JSONPosition = .unknown) {
    self.value = value
    self.position = position
  }

  public static func == (left: Self, right: Self) -> Bool { left.value == right.value }
}

/// A number as it was written.
public struct JSONNumber: Sendable, Equatable, CustomStringConvertible {
  public let text: String

  public init(text: String) { self.text = text }

  /// The exact integer, or nil where the text has a fraction, an exponent or too many digits.
  public var integer: Int? { Int(text) }
  public var double: Double { Double(text) ?? .nan }
  public var description: String { text }
}

extension JSONValue {
  public static func int(_ value: Int) -> JSONValue { .number(JSONNumber(text: String(value))) }

  /// A number spelled as the shortest text that reads back to the same double.
  public static func double(_ value: Double) -> JSONValue {
    .number(JSONNumber(text: JSONWriter.spell(value)))
  }

  public static func list(_ values: [JSONValue]) -> JSONValue {
    .array(values.map { JSONElement($0) })
  }

  public static func dictionary(_ pairs: [(String, JSONValue)]) -> JSONValue {
    .object(pairs.map { JSONMember($0.0, $0.1) })
  }

  /// The value of an object's member; nil for a missing key and for a value that is no object.
  public subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { JSONValue.isSame($0.key, key) }?.value
  }

  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var intValue: Int? { if case .number(let value) = self { value.integer } else { nil } }
  public var doubleValue: Double? {
    if case .number(let value) = self { value.double } else { nil }
  }
  public var arrayValue: [JSONValue]? {
    if case .array(let elements) = self { elements.map(\.value) } else { nil }
  }
  public var objectMembers: [JSONMember]? {
    if case .object(let members) = self { members } else { nil }
  }
  public var isNull: Bool { self == .null }

  /// What the value is, as an error message says it.
  public var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self = .string(value) }
}

extension JSONValue: ExpressibleByIntegerLiteral {
  public init(integerLiteral value: Int) { self = .int(value) }
}

extension JSONValue: ExpressibleByFloatLiteral {
  public init(floatLiteral value: Double) { self = .double(value) }
}

extension JSONValue: ExpressibleByBooleanLiteral {
  public init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension JSONValue: ExpressibleByArrayLiteral {
  public init(arrayLiteral elements: JSONValue...) { self = .list(elements) }
}
