// Makes small files for tests, well-formed and not.
import Foundation
import QLoRADiagnostics
import TestSupport

import QLoRAFormats

/// Little-endian bytes of an integer.
func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// A safetensors file from the text of its header; the length may lie.
func safetensors(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  littleEndian(length ?? UInt64(header.utf8.count)) + Array(header.utf8) + data
}

extension TemporaryFolder {
  /// Writes a file and returns its path.
  func write(_ bytes: some Sequence<UInt8>, _ name: String) throws -> String {
    let path = path(name)
    try Data(bytes).write(to: URL(filePath: path))
    return path
  }

  func write(_ text: String, _ name: String) throws -> String { try write(text.utf8, name) }
}

func readBytes(_ path: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(filePath: path)))
}

/// What `body` throws, if it is a diagnostic.
func diagnostic(_ body: () throws -> Void) -> Diagnostic? {
  do {
    try body()
    return nil
  } catch {
    return error as? Diagnostic
  }
}

extension Diagnostic {
  /// The byte offset that the diagnostic points at.
  var offset: Int? {
    if case .byteOffset(_, let offset) = location { offset } else { nil }
  }
}

/// Builds GGUF files field by field.
struct GGUFBuilder {
  var bytes: [UInt8] = []
  /// Where the next field that is to be blamed begins.
  var marked: Int?

  init(version: UInt32 = 3, tensors: UInt64 = 0, pairs: UInt64 = 0) {
    bytes = Array("GGUF".utf8) + littleEndian(version) + littleEndian(tensors) + littleEndian(pairs)
  }

  mutating func mark() { marked = bytes.count }
  mutating func integer(_ value: some FixedWidthInteger) { bytes += littleEndian(value) }
  mutating func string(_ text: String) {
    integer(UInt64(text.utf8.count))
    bytes += Array(text.utf8)
  }

  mutating func pair(_ key: String, _ type: GGUFValueType, _ payload: [UInt8]) {
    string(key)
    integer(type.rawValue)
    bytes += payload
  }

  mutating func pair(_ key: String, _ value: UInt32) { pair(key, .uint32, littleEndian(value)) }
  mutating func pair(_ key: String, _ value: Float) {
    pair(key, .float32, littleEndian(value.bitPattern))
  }
  mutating func pair(_ key: String, _ value: String) {
    pair(key, .string, littleEndian(UInt64(value.utf8.count)) + Array(value.utf8))
  }

  mutating func array(
    _ key: String, _ type: UInt32, count: UInt64, _ payload: [UInt8] = []
  ) {
    pair(key, .array, littleEndian(type) + littleEndian(count) + payload)
  }

  mutating func tensor(
    _ name: String, _ extents: [UInt64], type: UInt32 = 0, offset: UInt64 = 0
  ) {
    string(name)
    integer(UInt32(extents.count))
    for extent in extents { integer(extent) }
    integer(type)
    integer(offset)
  }

  mutating func pad(to alignment: Int = 32) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  mutating func floats(_ values: [Float]) {
    for value in values { integer(value.bitPattern) }
  }
}
