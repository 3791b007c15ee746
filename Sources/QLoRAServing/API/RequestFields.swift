// The members of a request's object, read with their types; null is the same as absent.
import QLoRAJSON

struct RequestFields {
  private let members: [JSONMember]

  /// - Throws: where the bytes are not one JSON object.
  init(_ bytes: [UInt8]) throws(APIError) {
    // A value takes many times the memory of the bytes that spell it.
    let options = JSONReadOptions(maximumValues: 1 << 18)
    let value: JSONValue
    do {
      value = try JSONValue(parsing: bytes, options: options)
    } catch {
      let place = "line \(error.position.line), column \(error.position.column)"
      throw APIError("The body is not JSON: \(error.message) at \(place).", code: "invalid_json")
    }
    guard let members = value.objectMembers else {
      throw APIError("The body must be an object, found \(value.kindName).", code: "invalid_json")
    }
    self.members = members.filter { !$0.value.isNull }
  }

  var keys: [String] { members.map(\.key) }

  subscript(key: String) -> JSONValue? { members.first { $0.key == key }?.value }

  func string(_ key: String) throws(APIError) -> String? {
    guard let value = self[key] else { return nil }
    guard let text = value.stringValue else { throw Self.mismatch(key, "a string", value) }
    return text
  }

  func flag(_ key: String) throws(APIError) -> Bool {
    guard let value = self[key] else { return false }
    guard let flag = value.boolValue else { throw Self.mismatch(key, "a boolean", value) }
    return flag
  }

  func list(_ key: String) throws(APIError) -> [JSONValue]? {
    guard let value = self[key] else { return nil }
    guard let list = value.arrayValue else { throw Self.mismatch(key, "an array", value) }
    return list
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) throws(APIError) -> Int? {
    guard let value = self[key] else { return nil }
    guard let number = value.intValue else { throw Self.mismatch(key, "an integer", value) }
    guard range.contains(number) else { throw Self.outside(key, range, value) }
    return number
  }

  func number(_ key: String, _ range: ClosedRange<Double>) throws(APIError) -> Double? {
    guard let value = self[key] else { return nil }
    guard let number = value.doubleValue else { throw Self.mismatch(key, "a number", value) }
    guard range.contains(number) else { throw Self.outside(key, range, value) }
    return number
  }

  static func mismatch(_ place: String, _ wanted: String, _ found: JSONValue?) -> APIError {
    let known = found.map { $0.intValue == nil ? $0.kindName : "\($0.intValue ?? 0)" }
    return APIError(
      "'\(place)' must be \(wanted), found \(known ?? "nothing").", parameter: place,
      code: "invalid_type")
  }

  private static func outside<Bound>(
    _ key: String, _ range: ClosedRange<Bound>, _ found: JSONValue
  ) -> APIError {
    APIError(
      "'\(key)' must be between \(range.lowerBound) and \(range.upperBound), "
        + "found \(JSONWriter.text(found).prefix(40)).", parameter: key, code: "invalid_value")
  }
}
