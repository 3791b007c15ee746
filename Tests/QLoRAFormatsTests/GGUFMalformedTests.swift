// Malformed GGUF, each refused with its own code at the field that is to blame.
import QLoRADiagnostics
import TestSupport
import Testing

import QLoRAFormats

struct GGUFMalformedTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let code: DiagnosticCode
    let file: GGUFBuilder
    var testDescription: String { name }

    init(
      _ name: String, _ code: DiagnosticCode, _ start: GGUFBuilder = GGUFBuilder(pairs: 1),
      _ build: (inout GGUFBuilder) -> Void
    ) {
      self.name = name
      self.code = code
      var builder = start
      build(&builder)
      // Enough bytes that only the rule in question can refuse the file.
      builder.bytes += Array(repeating: 0, count: builder.marked == nil ? 0 : 64)
      file = builder
    }

    /// A file to be taken as it is.
    init(whole name: String, _ code: DiagnosticCode, _ builder: GGUFBuilder) {
      self.name = name
      self.code = code
      file = builder
    }
  }

  static func head(
    _ magic: String = "GGUF", version: UInt32 = 3, tensors: UInt64 = 0, pairs: UInt64 = 0,
    mark: Int
  ) -> GGUFBuilder {
    var builder = GGUFBuilder()
    builder.bytes =
      Array(magic.utf8) + littleEndian(version) + littleEndian(tensors) + littleEndian(pairs)
    builder.marked = mark
    return builder
  }

  static let heads: [Case] = [
    Case("magic", .ggufMagic, head("GGML", mark: 0)) { _ in },
    Case("lower-case magic", .ggufMagic, head("gguf", mark: 0)) { _ in },
    Case("version 0", .ggufVersion, head(version: 0, mark: 4)) { _ in },
    Case("version 1", .ggufVersion, head(version: 1, mark: 4)) { _ in },
    Case("version 4", .ggufVersion, head(version: 4, mark: 4)) { _ in },
    Case("version huge", .ggufVersion, head(version: .max, mark: 4)) { _ in },
    Case("big-endian 3", .ggufBigEndian, head(version: 3 << 24, mark: 4)) { _ in },
    Case("big-endian 2", .ggufBigEndian, head(version: 2 << 24, mark: 4)) { _ in },
    Case("tensor count", .ggufLimit, head(tensors: 5, mark: 8)) { _ in },
    Case("tensor count negative", .ggufLimit, head(tensors: .max, mark: 8)) { _ in },
    Case("tensor count wraps", .ggufLimit, head(tensors: 1 << 60, mark: 8)) { _ in },
    Case("pair count", .ggufLimit, head(pairs: 6, mark: 16)) { _ in },
    Case("pair count negative", .ggufLimit, head(pairs: 1 << 63, mark: 16)) { _ in },
  ]

  static let pairs: [Case] = [
    Case("empty key", .ggufKey) {
      $0.mark()
      $0.pair("", UInt32(1))
    },
    Case("long key", .ggufKey) {
      $0.mark()
      $0.pair(String(repeating: "k", count: 65_536), UInt32(1))
    },
    Case("duplicate key", .ggufKey, GGUFBuilder(pairs: 2)) {
      $0.pair("k", UInt32(1))
      $0.mark()
      $0.pair("k", UInt32(2))
    },
    Case("key length beyond the limit", .ggufLimit) {
      $0.mark()
      $0.integer(UInt64(1) << 40)
    },
    Case("key length of 2^64 − 1", .ggufLimit) {
      $0.mark()
      $0.integer(UInt64.max)
    },
    Case("key not UTF-8", .ggufText) {
      $0.mark()
      $0.integer(UInt64(1))
      $0.bytes += [0xFF]
    },
    Case("value type 13", .ggufValueType) {
      $0.string("k")
      $0.mark()
      $0.integer(UInt32(13))
    },
    Case("value type huge", .ggufValueType) {
      $0.string("k")
      $0.mark()
      $0.integer(UInt32.max)
    },
    Case("boolean of 2", .ggufBool) {
      $0.string("k")
      $0.integer(GGUFValueType.bool.rawValue)
      $0.mark()
      $0.bytes += [2]
    },
    Case("boolean of 255 in an array", .ggufBool) {
      $0.string("k")
      $0.integer(GGUFValueType.array.rawValue)
      $0.integer(GGUFValueType.bool.rawValue)
      $0.integer(UInt64(2))
      $0.bytes += [1]
      $0.mark()
      $0.bytes += [255]
    },
    Case("string value too long", .ggufLimit) {
      $0.string("k")
      $0.integer(GGUFValueType.string.rawValue)
      $0.mark()
      $0.integer(UInt64(1) << 62)
    },
    Case("string value not UTF-8", .ggufText) {
      $0.string("k")
      $0.integer(GGUFValueType.string.rawValue)
      $0.mark()
      $0.integer(UInt64(2))
      $0.bytes += [0xC3, 0x28]
    },
    Case("array of arrays", .ggufArray) {
      $0.string("k")
      $0.integer(GGUFValueType.array.rawValue)
      $0.mark()
      $0.integer(GGUFValueType.array.rawValue)
      $0.integer(UInt64(1))
    },
    Case("array of an unknown type", .ggufValueType) {
      $0.string("k")
      $0.integer(GGUFValueType.array.rawValue)
      $0.mark()
      $0.integer(UInt32(99))
    },
  ]

  /// An array that claims more elements than the file can hold, of every type.
  static let arrays: [Case] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12].flatMap { type in
    [UInt64(1 << 20), 1 << 61, .max].map { count in
      Case("\(count) elements of type \(type)", .ggufArray) {
        $0.string("k")
        $0.integer(GGUFValueType.array.rawValue)
        $0.integer(UInt32(type))
        $0.mark()
        $0.integer(count)
      }
    }
  }

  static let alignments: [Case] = [
    ("zero", .uint32, littleEndian(UInt32(0))), ("three", .uint32, littleEndian(UInt32(3))),
    ("a signed number", .int32, littleEndian(Int32(32))),
    ("64 bits", .uint64, littleEndian(UInt64(32))), ("a byte", .uint8, [32]),
  ].map { (name: String, type: GGUFValueType, payload: [UInt8]) in
    Case("alignment of \(name)", .ggufAlignment) {
      $0.string("general.alignment")
      $0.integer(type.rawValue)
      $0.mark()
      $0.bytes += payload
    }
  }

  /// A tensor whose shape is to blame.
  static func shape(
    _ name: String, _ extents: [UInt64], type: UInt32 = 0, mark: Int = 0
  ) -> Case {
    Case(name, .ggufTensorShape, GGUFBuilder(tensors: 1)) {
      $0.string("t")
      $0.marked = $0.bytes.count + mark
      $0.integer(UInt32(extents.count))
      for extent in extents { $0.integer(extent) }
      $0.integer(type)
      $0.integer(UInt64(0))
    }
  }

  static let shapes: [Case] = [
    shape("five dimensions", [1, 1, 1, 1, 1]),
    shape("negative dimension", [1 << 63], mark: 4),
    shape("second dimension negative", [1, .max], mark: 12),
    shape("product wraps", [1 << 32, 1 << 32]),
    shape("product wraps to little", [1 << 62, 4]),
    shape("bytes wrap", [1 << 62]),
    shape("block product wraps", [1 << 40, 1 << 40], type: 3),
    shape("zero times a wrap", [0, 1 << 40, 1 << 40]),
    shape("row of 31 in Q4_1", [31], type: 3),
    shape("row of 128 in Q6_K", [128], type: 14),
    shape("scalar in Q8_0", [], type: 8),
  ]

  static let tensors: [Case] =
    [
      Case("empty name", .ggufTensorName, GGUFBuilder(tensors: 1)) {
        $0.mark()
        $0.tensor("", [1])
      },
      Case("name of 64 bytes", .ggufTensorName, GGUFBuilder(tensors: 1)) {
        $0.mark()
        $0.tensor(String(repeating: "n", count: 64), [1])
      },
      Case("name twice", .ggufTensorName, GGUFBuilder(tensors: 2)) {
        $0.tensor("t", [1])
        $0.mark()
        $0.tensor("t", [1], offset: 32)
      },
    ]
    + [4, 5, 31, 32, 33, 36, 37, 38, 255, 1 << 31].map { (type: UInt32) in
      Case("removed or unknown type \(type)", .ggufTensorType, GGUFBuilder(tensors: 1)) {
        $0.tensor("t", [256], type: type)
        $0.marked = $0.bytes.count - 12
      }
    }
    + [9, 10, 11, 16, 20, 24, 26, 28, 34, 39].map { (type: UInt32) in
      Case("undecoded type \(type)", .ggufUnsupportedType, GGUFBuilder(tensors: 1)) {
        $0.tensor("t", [256], type: type)
        $0.marked = $0.bytes.count - 12
      }
    }
    + [
      Case("first offset not zero", .ggufTensorOffset, GGUFBuilder(tensors: 1)) {
        $0.tensor("t", [1], offset: 32)
        $0.marked = $0.bytes.count - 8
      },
      Case("overlap", .ggufTensorOffset, GGUFBuilder(tensors: 2)) {
        $0.tensor("t", [8])
        $0.tensor("u", [1], offset: 0)
        $0.marked = $0.bytes.count - 8
      },
      Case("hole", .ggufTensorOffset, GGUFBuilder(tensors: 2)) {
        $0.tensor("t", [8])
        $0.tensor("u", [1], offset: 64)
        $0.marked = $0.bytes.count - 8
      },
      Case("offset not padded", .ggufTensorOffset, GGUFBuilder(tensors: 2)) {
        $0.tensor("t", [1])
        $0.tensor("u", [1], offset: 4)
        $0.marked = $0.bytes.count - 8
      },
      Case("offset of 2^64 − 32", .ggufTensorOffset, GGUFBuilder(tensors: 1)) {
        $0.tensor("t", [1], offset: .max - 31)
        $0.marked = $0.bytes.count - 8
      },
      Case("data beyond the file", .ggufTensorData, GGUFBuilder(tensors: 1)) {
        $0.tensor("t", [1 << 20])
        $0.marked = $0.bytes.count - 8
      },
      Case("data near 2^63", .ggufTensorData, GGUFBuilder(tensors: 1)) {
        $0.tensor("t", [1 << 60])
        $0.marked = $0.bytes.count - 8
      },
      Case("sum of data wraps", .ggufTensorData, GGUFBuilder(tensors: 2)) {
        $0.tensor("t", [1 << 60])
        $0.marked = $0.bytes.count - 8
        $0.tensor("u", [1 << 60], offset: 1 << 62)
      },
    ]

  @Test(arguments: heads + pairs + arrays + alignments + shapes + tensors)
  func blamesTheField(_ malformed: Case) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(malformed.file.bytes, "x.gguf")
    let found = diagnostic { _ = try GGUFFile(path: path) }
    #expect(found?.code == malformed.code)
    #expect(found?.offset == malformed.file.marked)
  }

  @Test(
    arguments: [
      ("scores", 1, 6, nil), ("token_type", 3, 5, nil), (nil, 0, 0, 2), (nil, 0, 0, 4_000_000_000),
    ] as [(String?, UInt64, UInt32, UInt32?)])
  func refusesVocabularies(
    _ list: String?, _ count: UInt64, _ type: UInt32, _ token: UInt32?
  ) throws {
    let folder = try TemporaryFolder()
    var builder = GGUFBuilder(pairs: 2)
    let token2 = littleEndian(UInt64(1)) + [0x61] + littleEndian(UInt64(1)) + [0x62]
    builder.array("tokenizer.ggml.tokens", GGUFValueType.string.rawValue, count: 2, token2)
    if let list {
      builder.array(
        "tokenizer.ggml.\(list)", type, count: count,
        Array(repeating: 0, count: Int(count) * 4))
    }
    if let token { builder.pair("tokenizer.ggml.eos_token_id", token) }
    let path = try folder.write(builder.bytes, "x.gguf")
    let found = diagnostic { _ = try GGUFFile(path: path) }
    #expect(found?.code == .ggufVocabulary)
  }

  @Test func everyPrefixIsRefused() throws {
    let folder = try TemporaryFolder()
    let whole = try readBytes(Goldens.path("gguf/blocks.gguf"))
    let file = try GGUFFile(path: Goldens.path("gguf/blocks.gguf"))
    let end = try #require(file.tensors.map(\.byteRange.upperBound).max())
    let start = try #require(file.tensors.map(\.byteRange.lowerBound).min())
    // All of the header, and every 97th length of the data.
    for count in Array(0..<start) + Array(stride(from: start, to: end, by: 97)) {
      let path = try folder.write(whole[..<count], "prefix")
      #expect(diagnostic { _ = try GGUFFile(path: path) } != nil, "\(count) bytes")
    }
  }

  @Test func noChangedByteTraps() throws {
    let folder = try TemporaryFolder()
    let whole = try readBytes(Goldens.path("gguf/blocks.gguf"))
    for index in 0..<800 {
      for change in [0x00, 0xFF, whole[index] ^ 0x04] as [UInt8] {
        var bytes = whole
        bytes[index] = change
        let path = try folder.write(bytes, "changed")
        guard let file = try? GGUFFile(path: path) else { continue }
        for tensor in file.tensors {
          // The last elements are the ones that could lie beyond the file.
          let range = max(0, tensor.count - 40)..<tensor.count
          var floats = [Float](repeating: 0, count: range.count)
          try floats.withUnsafeMutableBufferPointer {
            try file.readFloats(tensor.name, range: range, into: $0)
          }
        }
      }
    }
  }
}
