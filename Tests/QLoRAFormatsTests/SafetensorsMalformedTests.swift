// Malformed safetensors, each refused with its own code at its own byte. A caret in a header marks
// the byte that must be blamed and is taken out.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import TestSupport
import Testing

import QLoRAFormats

private let four = #""dtype":"F32","shape":[4],"data_offsets":[0,16]"#
private let head = #"{^"a":{"dtype":"F32","#

struct SafetensorsMalformedTests {
  static let syntax: [(DiagnosticCode, String)] = [
    (.safetensorsHeaderSyntax, "^[]"),
    (.safetensorsHeaderSyntax, "^ {\"a\":{\(four)}}"),
    (.safetensorsHeaderSyntax, "^\n{\"a\":{\(four)}}"),
    (.safetensorsHeaderSyntax, "^\u{FEFF}{\"a\":{\(four)}}"),
    (.safetensorsHeaderSyntax, "{\"a\":{\(four)}}^x"),
    (.safetensorsHeaderSyntax, "{\"a\":{\(four)}}^\n"),
    (.safetensorsHeaderSyntax, "{\"a\":{\(four)}}^{}"),
    (.safetensorsHeaderSyntax, "{\"a\":{\(four)}^"),
    (.safetensorsHeaderSyntax, "{\"a\":{\(four)}^,}"),
    (.safetensorsHeaderSyntax, "{^'a':{}}"),
    (.safetensorsHeaderSyntax, "{\"a\"^{}}"),
    (.safetensorsHeaderSyntax, "{\"a\":{\(four)}^\"b\":{}}"),
    (.safetensorsHeaderSyntax, "{\"a\":^nul}"),
    (.safetensorsHeaderSyntax, "{\"\\ud800^\":{\(four)}}"),
    (.safetensorsHeaderSyntax, "{\"a^\u{1}\":{\(four)}}"),
    (.safetensorsHeaderSyntax, "{\"a\":[[[[[[[^[1]]]]]]]]}"),
    (.safetensorsHeaderSyntax, #"{"a":{"dtype":"F32","shape":[^04]}}"#),
    (.safetensorsDuplicateKey, "{\"a\":{\(four)},^\"a\":{\(four)}}"),
    (.safetensorsDuplicateKey, "{\"a\":{\(four)},^\"\\u0061\":{\(four)}}"),
    (.safetensorsDuplicateKey, #"{"a":{"dtype":"F32",^"dtype":"U8","shape":[4]}}"#),
    (.safetensorsDuplicateKey, #"{"__metadata__":{"k":"v",^"k":"w"}}"#),
    (.safetensorsDuplicateKey, #"{"__metadata__":{"\u00e9":"v",^"e\u0301":"w"}}"#),
    (
      .safetensorsDuplicateKey,
      #"{"\u00e9":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"#
        + #"^"e\u0301":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#
    ),
    (.safetensorsDuplicateKey, #"{"__metadata__":{},^"__metadata__":{}}"#),
  ]

  static let entries: [(DiagnosticCode, String)] = [
    (.safetensorsMetadata, #"{^"__metadata__":null}"#),
    (.safetensorsMetadata, #"{^"__metadata__":[]}"#),
    (.safetensorsMetadata, #"{"__metadata__":{^"k":1}}"#),
    (.safetensorsMetadata, #"{"__metadata__":{"j":"",^"k":{}}}"#),
    (.safetensorsEntry, #"{^"a":[]}"#),
    (.safetensorsEntry, #"{^"a":null}"#),
    (.safetensorsEntry, #"{^"a":{"shape":[4],"data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""shape":[4]}}"#),
    (.safetensorsEntry, "{\"a\":{\(four),^\"x\":1}}"),
    (.safetensorsEntry, #"{^"a":{"dtype":3,"shape":[4],"data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""shape":"4","data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""shape":["4"],"data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""shape":[-4],"data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""shape":[4e0],"data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""shape":[4.0],"data_offsets":[0,16]}}"#),
    (.safetensorsEntry, head + #""shape":[4],"data_offsets":[-0,16]}}"#),
    (.safetensorsEntry, head + #""shape":[4],"data_offsets":[16]}}"#),
    (.safetensorsEntry, head + #""shape":[4],"data_offsets":[0,8,16]}}"#),
    (.safetensorsDType, #"{^"a":{"dtype":"F31","shape":[4],"data_offsets":[0,16]}}"#),
    (.safetensorsDType, #"{^"a":{"dtype":"f32","shape":[4],"data_offsets":[0,16]}}"#),
    (.safetensorsUnsupportedDType, #"{^"a":{"dtype":"C64","shape":[2],"data_offsets":[0,16]}}"#),
    (
      .safetensorsUnsupportedDType,
      #"{^"a":{"dtype":"F8_E4M3","shape":[16],"data_offsets":[0,16]}}"#
    ),
    (.safetensorsUnsupportedDType, #"{^"a":{"dtype":"F4","shape":[32],"data_offsets":[0,16]}}"#),
    (.safetensorsSize, head + #""shape":[4294967296,4294967296],"data_offsets":[0,16]}}"#),
    (.safetensorsSize, head + #""shape":[4611686018427387904],"data_offsets":[0,0]}}"#),
    (.safetensorsSize, head + #""shape":[99999999999999999999],"data_offsets":[0,16]}}"#),
    (.safetensorsSize, head + #""shape":[4],"data_offsets":[0,18446744073709551632]}}"#),
    (.safetensorsSize, head + #""shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}"#),
    (.safetensorsSize, head + #""shape":[3],"data_offsets":[0,16]}}"#),
    (.safetensorsSize, head + #""shape":[],"data_offsets":[0,16]}}"#),
    (.safetensorsOffsets, head + #""shape":[4],"data_offsets":[16,0]}}"#),
    (.safetensorsOffsets, head + #""shape":[5],"data_offsets":[0,20]}}"#),
    (
      .safetensorsOffsets,
      head + #""shape":[4],"data_offsets":[9223372036854775791,9223372036854775807]}}"#
    ),
    (.safetensorsLimit, "{^\"\(String(repeating: "n", count: 1025))\":{\(four)}}"),
    (.safetensorsLimit, "{^\"a\\u0000\":{\(four)}}"),
    (.safetensorsLimit, "{^\"\u{7F}\":{\(four)}}"),
    (
      .safetensorsLimit,
      head
        + "\"shape\":[\(Array(repeating: "1", count: 65).joined(separator: ","))],"
        + "\"data_offsets\":[0,4]}}"
    ),
  ]

  @Test(arguments: syntax + entries)
  func blamesTheByte(_ code: DiagnosticCode, _ marked: String) throws {
    let folder = try TemporaryFolder()
    let place = try #require(marked.utf8.firstIndex(of: UInt8(ascii: "^")))
    let offset = 8 + marked.utf8.distance(from: marked.utf8.startIndex, to: place)
    let header = marked.replacing("^", with: "", maxReplacements: 1)
    let path = try folder.write(
      safetensors(header, data: Array(repeating: 0, count: 16)), "x.safetensors")
    let found = diagnostic { _ = try SafetensorsFile(path: path) }
    #expect(found?.code == code)
    #expect(found?.offset == offset)
  }

  /// A tensor of bytes.
  private static func bytes(_ name: String, _ start: Int, _ end: Int) -> String {
    "\"\(name)\":{\"dtype\":\"U8\",\"shape\":[\(end - start)],\"data_offsets\":[\(start),\(end)]}"
  }

  @Test(arguments: [
    ("overlap", [(0, 4), (2, 8)], 2), ("same place", [(0, 8), (0, 8)], 0),
    ("hole", [(0, 4), (5, 8)], 5), ("not from zero", [(1, 8)], 1),
    ("remainder", [(0, 7)], 7), ("no tensor", [], 0), ("empty tensor only", [(0, 0)], 0),
    ("empty tensor in a hole", [(0, 4), (5, 5)], 5),
  ])
  func coversEveryByteOnce(_: String, _ ranges: [(Int, Int)], _ blamed: Int) throws {
    let folder = try TemporaryFolder()
    let members = ranges.enumerated().map { Self.bytes("t\($0)", $1.0, $1.1) }
    let header = "{\(members.joined(separator: ","))}"
    let path = try folder.write(
      safetensors(header, data: Array(repeating: 7, count: 8)), "x.safetensors")
    let found = diagnostic { _ = try SafetensorsFile(path: path) }
    #expect(found?.code == .safetensorsOffsets)
    #expect(found?.offset == 8 + header.utf8.count + blamed)
  }

  @Test(
    arguments: [
      ([], DiagnosticCode.safetensorsTooShort, 0),
      (Array(repeating: 0, count: 7), .safetensorsTooShort, 7),
      (littleEndian(UInt64(0)), .safetensorsHeaderSyntax, 8),
      (safetensors("{}", length: 3), .safetensorsHeaderLength, 0),
      (safetensors("{}", length: 100_000_001), .safetensorsHeaderLength, 0),
      (safetensors("{}", length: UInt64(Int64.max)), .safetensorsHeaderLength, 0),
      (safetensors("{}", length: .max), .safetensorsHeaderLength, 0),
      (safetensors("{}", length: .max - 7), .safetensorsHeaderLength, 0),
      (
        littleEndian(UInt64(6)) + [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x7D], .safetensorsHeaderSyntax, 9
      ),
      (Array("version https://git-lfs.github.com/spec/v1\noid".utf8), .fileIsLFSPointer, nil),
      (Array("version https://git-lfs".utf8.prefix(23)), .fileIsLFSPointer, nil),
      ([0x50, 0x4B, 3, 4] + Array(repeating: 1, count: 60), .fileIsPickle, nil),
      ([0x80, 2] + Array(repeating: 0x5D, count: 60), .fileIsPickle, nil),
      (Array("<!DOCTYPE html><html>not found</html>".utf8), .fileIsForeign, nil),
      (Array("GGUF\u{3}\0\0\0 and more".utf8), .fileIsForeign, nil),
    ] as [([UInt8], DiagnosticCode, Int?)])
  func refusesTheWholeFile(_ bytes: [UInt8], _ code: DiagnosticCode, _ offset: Int?) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(bytes, "x.safetensors")
    let found = diagnostic { _ = try SafetensorsFile(path: path) }
    #expect(found?.code == code)
    #expect(found?.offset == offset)
  }

  @Test func refusesWhatIsNoFile() throws {
    let folder = try TemporaryFolder()
    let missing = diagnostic { _ = try SafetensorsFile(path: folder.path("nothing")) }
    #expect(missing?.code == .fileMissing)
    #expect(missing?.code.exitCode == .inputMissing)
    let directory = diagnostic { _ = try SafetensorsFile(path: folder.path("")) }
    #expect(directory?.code == .fileNotRegular)
    #expect(mkfifo(folder.path("pipe"), 0o600) == 0)
    let pipe = diagnostic { _ = try SafetensorsFile(path: folder.path("pipe")) }
    #expect(pipe?.code == .fileNotRegular)
    let device = diagnostic { _ = try SafetensorsFile(path: "/dev/zero") }
    #expect(device?.code == .fileNotRegular)
  }

  @Test func everyPrefixIsRefused() throws {
    let folder = try TemporaryFolder()
    let whole = try readBytes(Goldens.path("safetensors/all-types.safetensors"))
    for count in 0..<whole.count {
      let path = try folder.write(whole[..<count], "prefix")
      #expect(diagnostic { _ = try SafetensorsFile(path: path) } != nil, "\(count) bytes")
    }
  }

  @Test func noChangedByteTraps() throws {
    let folder = try TemporaryFolder()
    let whole = try readBytes(Goldens.path("peft/adapter_model.safetensors"))
    for index in 0..<1100 {
      for change in [0x00, 0xFF, whole[index] ^ 0x10] as [UInt8] {
        var bytes = whole
        bytes[index] = change
        let path = try folder.write(bytes, "changed")
        guard let file = try? SafetensorsFile(path: path) else { continue }
        for entry in file.entries {
          #expect(throws: Never.self) { try file.readTensor(entry.name) }
        }
      }
    }
  }
}
