// More malformed safetensors, made by rules rather than listed: every type, every field, every
// kind of wrong value, every control character. Each is refused at the byte that is to blame.
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct SafetensorsHostileTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let code: DiagnosticCode
    let header: String
    let dataBytes: Int
    /// In the header.
    let place: Int

    init(
      _ name: String, _ code: DiagnosticCode, _ header: String, data: Int = 16, at place: Int = 1
    ) {
      testDescription = name
      self.code = code
      self.header = header
      dataBytes = data
      self.place = place
    }
  }

  private static func entry(
    _ dtype: String = "\"F32\"", _ shape: String = "[4]", _ offsets: String = "[0,16]"
  ) -> String {
    "{\"a\":{\"dtype\":\(dtype),\"shape\":\(shape),\"data_offsets\":\(offsets)}}"
  }

  /// A byte more or less than the type needs.
  static let sizes: [Case] = DType.allCases.flatMap { dtype in
    [-1, 1].map { change in
      let bytes = 4 * dtype.byteSize + change
      return Case(
        "\(dtype.safetensorsName) of \(bytes) bytes", .safetensorsSize,
        entry("\"\(dtype.safetensorsName)\"", "[4]", "[0,\(bytes)]"), data: bytes)
    }
  }

  static let unsupported: [Case] = [
    "F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E5M2FNUZ", "F8_E4M3FNUZ",
    "C64",
  ].map { Case($0, .safetensorsUnsupportedDType, entry("\"\($0)\"")) }

  static let unknown: [Case] = [
    "", " F32", "F32 ", "float32", "torch.float32", "bf16", "F128", "I4", "U4", "I128", "BIT",
    "Q4_0",
    "F32\\u0000", "Ｆ32",
  ].map { Case("type \($0)", .safetensorsDType, entry("\"\($0)\"")) }

  /// Every field with a value of every other kind.
  static let kinds: [Case] = ["null", "true", "1", "\"4\"", "{}", "[[4]]", "[null]", "[true]"]
    .flatMap { value in
      [
        value == "\"4\"" ? nil : Case("dtype \(value)", .safetensorsEntry, entry(value)),
        Case("shape \(value)", .safetensorsEntry, entry("\"F32\"", value)),
        Case("offsets \(value)", .safetensorsEntry, entry("\"F32\"", "[4]", value)),
      ].compactMap { $0 }
    }

  /// Numbers that JSON knows and a header may not use.
  static let numbers: [Case] = ["-4", "4e0", "4E0", "4.0", "-0", "0.4e1"].flatMap { number in
    [
      Case("extent \(number)", .safetensorsEntry, entry("\"F32\"", "[\(number)]")),
      Case("start \(number)", .safetensorsEntry, entry("\"F32\"", "[4]", "[\(number),16]")),
      Case("end \(number)", .safetensorsEntry, entry("\"F32\"", "[4]", "[0,\(number)]")),
    ]
  }

  /// Numbers that 64 bits do not hold, alone or multiplied.
  static let wide: [Case] = [
    "[9223372036854775808]", "[18446744073709551615]", "[18446744073709551617]",
    "[1,340282366920938463463374607431768211456]", "[9223372036854775807]",
    "[4611686018427387904,2]", "[3037000500,3037000500]", "[65536,65536,65536,65536]",
    "[0,9223372036854775807,2]", "[2,0,4611686018427387904,4]",
  ].map { Case("shape \($0)", .safetensorsSize, entry("\"F32\"", $0)) }

  static let controls: [Case] = (Array(0..<0x20) + [0x7F]).map { code in
    let escape = "\\u00" + (code < 16 ? "0" : "") + String(code, radix: 16)
    return Case("name with \(escape)", .safetensorsLimit, "{\"a\(escape)\":{}}")
  }

  static let offsets: [Case] = [
    Case("reversed", .safetensorsOffsets, entry("\"U8\"", "[0]", "[16,0]")),
    Case("beyond the file", .safetensorsOffsets, entry("\"U8\"", "[17]", "[0,17]")),
    Case(
      "far beyond", .safetensorsOffsets, entry("\"U8\"", "[1099511627776]", "[0,1099511627776]")),
    Case(
      "end near 2^63", .safetensorsOffsets,
      entry("\"U8\"", "[1]", "[9223372036854775806,9223372036854775807]")),
    Case("one offset", .safetensorsEntry, entry("\"U8\"", "[16]", "[16]")),
    Case("three offsets", .safetensorsEntry, entry("\"U8\"", "[16]", "[0,16,16]")),
    Case("no offsets", .safetensorsEntry, entry("\"U8\"", "[16]", "[]")),
  ]

  private static func long(_ count: Int, _ element: String) -> String {
    repeatElement(element, count: count).joined(separator: ",")
  }

  static let limits: [Case] = {
    let start = "{\"a\":{\"shape\":["
    return [
      // Beyond the count of values that one description may take; the key and two values precede.
      Case(
        "a shape of 65,533 extents", .safetensorsLimit, start + long(65_533, "0") + "]}}",
        at: start.utf8.count + 2 * 65_532),
      Case(
        "metadata of 40,000 pairs", .safetensorsLimit,
        "{\"__metadata__\":{" + (0..<40_000).map { "\"\($0)\":\"\"" }.joined(separator: ",") + "}}",
        at: 17 + (0..<32_767).reduce(0) { $0 + "\($1)".count + 6 }),
      Case(
        "17 MB of metadata", .safetensorsLimit,
        "{\"__metadata__\":{\"k\":\"" + String(repeating: "x", count: 17_000_000) + "\"}}", at: 21),
      Case(
        "a number of 17 million digits", .safetensorsLimit,
        start + String(repeating: "9", count: 17_000_000) + "]}}", at: start.utf8.count),
    ]
  }()

  static let all =
    sizes + unsupported + unknown + kinds + numbers + wide + controls + offsets + limits

  @Test(arguments: all) func blamesTheByte(_ malformed: Case) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      safetensors(malformed.header, data: Array(repeating: 0, count: malformed.dataBytes)),
      "x.safetensors")
    let found = diagnostic { _ = try SafetensorsFile(path: path) }
    #expect(found?.code == malformed.code, "\(found.map { "\($0.message)" } ?? "accepted")")
    #expect(found?.offset == 8 + malformed.place)
  }

  @Test func atMostSoManyTensors() throws {
    let folder = try TemporaryFolder()
    let entry = "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
    let fitting = (0..<1 << 17).map { "\"\($0)\(entry)" }.joined(separator: ",")
    let full = try folder.write(safetensors("{\(fitting)}"), "full.safetensors")
    #expect(try SafetensorsFile(path: full).entries.count == 1 << 17)
    let over = try folder.write(safetensors("{\(fitting),\"x\(entry)}"), "over.safetensors")
    let found = diagnostic { _ = try SafetensorsFile(path: over) }
    #expect(found?.code == .safetensorsLimit)
    #expect(found?.offset == 8 + fitting.utf8.count + 2)
  }

  @Test func thereAreManyOfThem() {
    let listed =
      SafetensorsMalformedTests.syntax.count + SafetensorsMalformedTests.entries.count
    #expect(Self.all.count + listed >= 150)
  }
}
