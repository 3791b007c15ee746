// More malformed GGUF, made by rules: a file cut in every field, values of every type, and the
// shapes of published attacks on other readers.
import QLoRADiagnostics
import TestSupport
import Testing

import QLoRAFormats

struct GGUFHostileTests {
  typealias Case = GGUFMalformedTests.Case

  /// Long enough that a cut file still has room for one pair or tensor: else its count is to blame.
  private static let name = "a.name.of.forty.bytes.for.keys.and.tensor"

  /// The file ends `count` bytes after `build` is done; what is to be blamed begins at the mark.
  private static func cut(
    _ name: String, _ start: GGUFBuilder, code: DiagnosticCode = .ggufTruncated,
    after count: Int, _ build: (inout GGUFBuilder) -> Void
  ) -> Case {
    var builder = start
    build(&builder)
    builder.marked = builder.marked ?? builder.bytes.count
    builder.bytes += Array(repeating: 0, count: count)
    return Case(whole: name, code, builder)
  }

  private static let scalars: [GGUFValueType] = [
    .uint8, .int8, .uint16, .int16, .uint32, .int32, .float32, .bool, .uint64, .int64, .float64,
  ]

  private static func bytes(of type: GGUFValueType) -> Int {
    switch type {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    default: 8
    }
  }

  /// Cut before a value, and within it.
  static let values: [Case] = scalars.flatMap { type in
    Set([0, bytes(of: type) / 2, bytes(of: type) - 1]).sorted().map { count in
      cut("\(type) cut after \(count) bytes", GGUFBuilder(pairs: 1), after: count) {
        $0.string(name)
        $0.integer(type.rawValue)
      }
    }
  }

  /// Arrays one element short: their count is to blame, before anything is allocated.
  static let arrays: [Case] = (scalars + [.string]).flatMap { type in
    [1, 2, 1000].map { count in
      cut(
        "\(count) of \(type), one short", GGUFBuilder(pairs: 1), code: .ggufArray,
        after: (count - 1) * bytes(of: type)
      ) {
        $0.string(name)
        $0.integer(GGUFValueType.array.rawValue)
        $0.integer(type.rawValue)
        $0.mark()
        $0.integer(UInt64(count))
      }
    }
  }

  /// Cut in each field of a pair and of a tensor.
  static let fields: [Case] =
    [
      cut("key", GGUFBuilder(pairs: 1), after: 20) { $0.integer(UInt64(41)) },
      cut("value type", GGUFBuilder(pairs: 1), after: 3) { $0.string(name) },
      cut("string length", GGUFBuilder(pairs: 1), after: 7) {
        $0.string(name)
        $0.integer(GGUFValueType.string.rawValue)
      },
      cut("string", GGUFBuilder(pairs: 1), after: 9) {
        $0.string(name)
        $0.integer(GGUFValueType.string.rawValue)
        $0.integer(UInt64(10))
      },
      cut("element type", GGUFBuilder(pairs: 1), after: 2) {
        $0.string(name)
        $0.integer(GGUFValueType.array.rawValue)
      },
      cut("element count", GGUFBuilder(pairs: 1), after: 7) {
        $0.string(name)
        $0.integer(GGUFValueType.array.rawValue)
        $0.integer(GGUFValueType.uint32.rawValue)
      },
      cut("second string of an array", GGUFBuilder(pairs: 1), after: 3) {
        $0.string(name)
        $0.integer(GGUFValueType.array.rawValue)
        $0.integer(GGUFValueType.string.rawValue)
        $0.integer(UInt64(2))
        $0.string("twelve bytes")
        $0.integer(UInt64(4))
      },
      cut("second key", GGUFBuilder(pairs: 2), after: 5) {
        $0.pair(name, UInt32(1))
        $0.integer(UInt64(6))
      },
      cut("tensor name", GGUFBuilder(tensors: 1), after: 40) { $0.integer(UInt64(41)) },
      cut("dimension count", GGUFBuilder(tensors: 1), after: 3) { $0.string(name) },
      cut("tensor type", GGUFBuilder(tensors: 1), after: 3) {
        $0.string(name)
        $0.integer(UInt32(0))
      },
      cut("tensor offset", GGUFBuilder(tensors: 1), after: 7) {
        $0.string(name)
        $0.integer(UInt32(0))
        $0.integer(UInt32(0))
      },
    ]
    + (1...4).map { rank in
      cut("dimension \(rank)", GGUFBuilder(tensors: 1), after: 7) {
        $0.string(name)
        $0.integer(UInt32(rank))
        for _ in 1..<rank { $0.integer(UInt64(1)) }
      }
    }

  /// The head itself, byte by byte.
  static let heads: [Case] = (0..<24).map { count in
    var builder = GGUFBuilder()
    builder.bytes.removeLast(24 - count)
    builder.marked = count < 4 ? 0 : count < 8 ? 4 : count < 16 ? 8 : 16
    return Case(whole: "head of \(count) bytes", count < 4 ? .ggufMagic : .ggufTruncated, builder)
  }

  static let types: [Case] =
    Array(13..<20).map { (number: UInt32) in
      Case("value type \(number)", .ggufValueType) {
        $0.string("k")
        $0.mark()
        $0.integer(number)
      }
    }
    + Array(2..<10).map { (byte: UInt8) in
      Case("boolean of \(byte * 25)", .ggufBool) {
        $0.string("k")
        $0.integer(GGUFValueType.bool.rawValue)
        $0.mark()
        $0.bytes += [byte * 25]
      }
    }
    + [0, 3, 5, 6, 7, 12, 24, 33, 48, 255, 1 << 31 + 1].map { (bytes: UInt32) in
      Case("alignment of \(bytes)", .ggufAlignment) {
        $0.string("general.alignment")
        $0.integer(GGUFValueType.uint32.rawValue)
        $0.mark()
        $0.integer(bytes)
      }
    }

  /// A row that is no multiple of the block of its type.
  static let rows: [Case] = [2, 3, 6, 7, 8, 12, 13, 14].flatMap { (type: UInt32) in
    let block: UInt64 = type < 9 ? 32 : 256
    return [1, block - 1, block + 1, 3 * block / 2].map { row in
      GGUFMalformedTests.shape("rows of \(row) in type \(type)", [row, 2], type: type)
    }
  }

  private static func tensor(
    _ name: String, _ code: DiagnosticCode, _ extents: [UInt64], type: UInt32 = 0, back: Int = 8
  ) -> Case {
    Case(name, code, GGUFBuilder(tensors: 1)) {
      $0.tensor("t", extents, type: type)
      $0.marked = $0.bytes.count - back
    }
  }

  /// What was published of other readers, as far as a header can have the shape.
  static let attacks: [Case] = [
    // CVE-2025-53630, CVE-2026-27940: a sum of padded sizes that wraps round.
    Case("sum of sizes wraps", .ggufTensorData, GGUFBuilder(tensors: 3)) {
      $0.tensor("t", [1 << 59])
      $0.marked = $0.bytes.count - 8
      $0.tensor("u", [1 << 59], offset: 1 << 61)
      $0.tensor("v", [1 << 59], offset: 1 << 62)
    },
    tensor("size just below 2^63", .ggufTensorData, [(1 << 61) - 8]),
    // CVE-2026-33298: bytes of a tensor computed in fewer bits than its allocation.
    tensor("2^32 elements", .ggufTensorData, [1 << 32]),
    tensor("2^31 blocks", .ggufTensorData, [1 << 36], type: 8),
    GGUFMalformedTests.shape("elements beyond 63 bits in blocks", [1 << 62, 32], type: 2),
    // CVE-2024-21802 and its siblings: counts and lengths that are believed.
    Case("pairs of 2^64 − 1", .ggufLimit, GGUFMalformedTests.head(pairs: .max, mark: 16)) { _ in },
    Case(
      "pairs that wrap when multiplied", .ggufLimit,
      GGUFMalformedTests.head(pairs: 1 << 58, mark: 16)
    ) { _ in },
    Case("tensors of 2^63", .ggufLimit, GGUFMalformedTests.head(tensors: 1 << 63, mark: 8)) { _ in
    },
    Case("a key of 2^63 bytes", .ggufLimit) {
      $0.mark()
      $0.integer(UInt64(1) << 63)
    },
    Case("a tensor name of 2^64 − 1 bytes", .ggufLimit, GGUFBuilder(tensors: 1)) {
      $0.mark()
      $0.integer(UInt64.max)
    },
    Case("dimensions of 2^32 − 1", .ggufTensorShape, GGUFBuilder(tensors: 1)) {
      $0.string("t")
      $0.mark()
      $0.integer(UInt32.max)
    },
    // CVE-2026-7482: a tensor that ends behind the file.
    tensor("one float behind the end", .ggufTensorData, [15]),
    Case("the last of two behind the end", .ggufTensorData, GGUFBuilder(tensors: 2)) {
      $0.tensor("t", [8])
      $0.tensor("u", [32], offset: 32)
      $0.marked = $0.bytes.count - 8
    },
  ]

  static let all = heads + values + arrays + fields + types + rows + attacks

  @Test(arguments: all) func blamesTheField(_ malformed: Case) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(malformed.file.bytes, "x.gguf")
    let found = diagnostic { _ = try GGUFFile(path: path) }
    #expect(found?.code == malformed.code, "\(found.map { "\($0.message)" } ?? "accepted")")
    #expect(found?.offset == malformed.file.marked)
  }

  /// More strings, numbers, pairs and tensors than any model has, in files that hold them all.
  @Test func countsHaveLimits() throws {
    let folder = try TemporaryFolder()
    func refusal(_ builder: GGUFBuilder) throws -> Diagnostic? {
      let path = try folder.write(builder.bytes, "x.gguf")
      return diagnostic { _ = try GGUFFile(path: path) }
    }
    var strings = GGUFBuilder(pairs: 1)
    strings.array(
      "k", GGUFValueType.string.rawValue, count: 900_000, Array(repeating: 0, count: 7_200_000))
    #expect(try refusal(strings)?.code == .ggufLimit)
    for type in [GGUFValueType.int8, .bool, .float64] {
      var numbers = GGUFBuilder(pairs: 1)
      let count = 1 << 21 + 1
      numbers.array(
        "k", type.rawValue, count: UInt64(count),
        Array(repeating: 0, count: count * Self.bytes(of: type)))
      let found = try refusal(numbers)
      #expect(found?.code == .ggufLimit)
      #expect(found?.offset == 24 + 9 + 4 + 4)
    }
    var pairs = GGUFBuilder(pairs: 65_537)
    for index in 0..<65_537 { pairs.pair("\(index)", .uint8, [0]) }
    #expect(try refusal(pairs)?.offset == 16)
    var tensors = GGUFBuilder(tensors: 65_537)
    for index in 0..<65_537 { tensors.tensor("\(index)", [0]) }
    #expect(try refusal(tensors)?.offset == 8)
  }

  @Test func thereAreManyOfThem() {
    let listed =
      GGUFMalformedTests.heads.count + GGUFMalformedTests.pairs.count
      + GGUFMalformedTests.arrays.count + GGUFMalformedTests.alignments.count
      + GGUFMalformedTests.shapes.count + GGUFMalformedTests.tensors.count
    #expect(Self.all.count + listed >= 200)
  }
}
