// The rules of a safetensors header: bounds before allocation, no duplicate, no hole, no overlap,
// no arithmetic that could wrap. It reads no tensor data.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

/// The checked header of a safetensors file.
struct SafetensorsHeader {
  static let maximumBytes = 100_000_000
  static let maximumTensors = 1 << 17
  static let maximumNameBytes = 1_024
  static let maximumDimensions = 64
  static let maximumDepth = 8
  /// Of one tensor's description, or of all metadata: pairs of the latter may be many.
  static let maximumValues = 1 << 16
  static let maximumTextBytes = 1 << 24
  /// The header's length is a number of eight bytes before it.
  static let prefixBytes = 8

  private(set) var entries: [TensorEntry] = []
  private(set) var metadata: [String: String] = [:]
  /// Compared as Unicode does: é composed and decomposed would be one name to some readers.
  private var names: Set<String> = []
  private let file: InputFile
  private let dataStart: Int

  init(reading file: InputFile) throws(Diagnostic) {
    self.file = file
    let length = try Self.length(of: file)
    dataStart = Self.prefixBytes + length
    let text = try file.bytes(Self.prefixBytes..<dataStart)
    guard text.first == UInt8(ascii: "{") else {
      throw try ForeignFile.diagnose(file)
        ?? Diagnostic(
          .safetensorsHeaderSyntax, "the header must begin with '{'",
          at: .byteOffset(file: file.path, offset: Self.prefixBytes))
    }
    try read(text)
    try checkCoverage()
  }

  /// The header's length, bounded by the file and by the limit before anything is allocated.
  private static func length(of file: InputFile) throws(Diagnostic) -> Int {
    guard file.byteCount >= prefixBytes else {
      throw try ForeignFile.diagnose(file)
        ?? Diagnostic(
          .safetensorsTooShort,
          "expected at least \(prefixBytes) bytes, found \(file.byteCount)",
          at: .byteOffset(file: file.path, offset: file.byteCount),
          remedy: "download the file again")
    }
    let prefix = try file.bytes(0..<prefixBytes)
    let length = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let room = file.byteCount - prefixBytes
    guard length <= UInt64(maximumBytes), length <= UInt64(room) else {
      let bound =
        length > UInt64(maximumBytes)
        ? "the limit is \(maximumBytes)" : "only \(room) bytes follow"
      throw try ForeignFile.diagnose(file)
        ?? Diagnostic(
          .safetensorsHeaderLength, "the header claims \(length) bytes, but \(bound)",
          at: .byteOffset(file: file.path, offset: 0),
          remedy: "download the file again if it should be safetensors")
    }
    return Int(length)
  }

  private func failure(
    _ code: DiagnosticCode, _ message: String, _ position: JSONPosition
  ) -> Diagnostic {
    Diagnostic(
      code, message,
      at: .byteOffset(file: file.path, offset: Self.prefixBytes + position.offset))
  }

  /// Reads one description after another: all of them as JSON would take many times the header.
  private mutating func read(_ text: [UInt8]) throws(Diagnostic) {
    let last = text.lastIndex { $0 != 0x20 } ?? 0
    guard text[last] == UInt8(ascii: "}") else {
      throw Diagnostic(
        .safetensorsHeaderSyntax, "the header must end with '}' and spaces",
        at: .byteOffset(file: file.path, offset: Self.prefixBytes + last))
    }
    let options = JSONReadOptions(
      maximumDepth: Self.maximumDepth, maximumValues: Self.maximumValues,
      maximumTextBytes: Self.maximumTextBytes)
    do {
      try JSONValue.forEachMember(of: text, options: options) { try read($0) }
    } catch let error as JSONError {
      let codes: [JSONError.Kind: DiagnosticCode] = [
        .duplicateKey: .safetensorsDuplicateKey, .size: .safetensorsLimit,
      ]
      throw failure(
        codes[error.kind] ?? .safetensorsHeaderSyntax,
        "the header is not valid: \(error.message)", error.position)
    } catch {
      throw (error as? Diagnostic)
        ?? failure(.safetensorsHeaderSyntax, "the header cannot be read: \(error)", .unknown)
    }
  }

  private mutating func read(_ member: JSONMember) throws(Diagnostic) {
    if member.key == "__metadata__" { return try readMetadata(member) }
    guard entries.count < Self.maximumTensors else {
      throw failure(
        .safetensorsLimit, "more than \(Self.maximumTensors) tensors", member.position)
    }
    entries.append(try readEntry(member))
    guard names.insert(member.key).inserted else {
      throw failure(
        .safetensorsDuplicateKey, "the name \"\(member.key)\" appears in two spellings",
        member.position)
    }
  }

  private mutating func readMetadata(_ member: JSONMember) throws(Diagnostic) {
    guard let pairs = member.value.objectMembers else {
      throw failure(
        .safetensorsMetadata,
        "__metadata__ must be an object of strings, found \(member.value.kindName)",
        member.position)
    }
    for pair in pairs {
      guard let text = pair.value.stringValue else {
        throw failure(
          .safetensorsMetadata,
          "metadata \"\(pair.key)\" must be a string, found \(pair.value.kindName)", pair.position)
      }
      guard metadata.updateValue(text, forKey: pair.key) == nil else {
        throw failure(
          .safetensorsDuplicateKey, "the metadata \"\(pair.key)\" appear in two spellings",
          pair.position)
      }
    }
  }

  private func readEntry(_ member: JSONMember) throws(Diagnostic) -> TensorEntry {
    let name = member.key
    guard name.utf8.count <= Self.maximumNameBytes else {
      throw failure(
        .safetensorsLimit,
        "a tensor name of \(name.utf8.count) bytes, the limit is \(Self.maximumNameBytes)",
        member.position)
    }
    guard !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
      throw failure(
        .safetensorsLimit, "a tensor name holds a control character", member.position)
    }
    guard let fields = member.value.objectMembers else {
      throw failure(
        .safetensorsEntry, "tensor \"\(name)\" must be an object, found \(member.value.kindName)",
        member.position)
    }
    for field in fields where !["dtype", "shape", "data_offsets"].contains(field.key) {
      throw failure(
        .safetensorsEntry, "tensor \"\(name)\" has an unknown field \"\(field.key)\"",
        field.position)
    }
    let dtype = try readDType(member)
    let extents = try integers("shape", of: member)
    let offsets = try integers("data_offsets", of: member)
    guard extents.count <= Self.maximumDimensions else {
      throw failure(
        .safetensorsLimit,
        "tensor \"\(name)\" has \(extents.count) dimensions, the limit is "
          + "\(Self.maximumDimensions)", member.position)
    }
    guard offsets.count == 2 else {
      throw failure(
        .safetensorsEntry, "tensor \"\(name)\" needs two data_offsets, found \(offsets.count)",
        member.position)
    }
    return try place(member, dtype, extents, offsets[0], offsets[1])
  }

  private func readDType(_ member: JSONMember) throws(Diagnostic) -> DType {
    guard let text = member.value["dtype"]?.stringValue else {
      throw failure(
        .safetensorsEntry, "tensor \"\(member.key)\" needs a dtype in quotes", member.position)
    }
    if let dtype = DType(safetensorsName: text) { return dtype }
    if DType.foreignSafetensorsNames.contains(text) {
      throw failure(
        .safetensorsUnsupportedDType,
        "tensor \"\(member.key)\" is of type \(text), which this program cannot train with",
        member.position)
    }
    throw failure(
      .safetensorsDType, "tensor \"\(member.key)\" is of the unknown type \"\(text)\"",
      member.position)
  }

  /// A list of numbers spelled as plain digits: no sign, fraction or exponent.
  private func integers(_ key: String, of member: JSONMember) throws(Diagnostic) -> [Int] {
    guard let values = member.value[key]?.arrayValue else {
      throw failure(
        .safetensorsEntry, "tensor \"\(member.key)\" needs a list \"\(key)\"", member.position)
    }
    var integers: [Int] = []
    integers.reserveCapacity(values.count)
    for value in values {
      guard case .number(let number) = value,
        number.text.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 })
      else {
        throw failure(
          .safetensorsEntry,
          "\"\(key)\" of tensor \"\(member.key)\" must hold plain non-negative integers",
          member.position)
      }
      guard let integer = number.integer else {
        throw failure(
          .safetensorsSize,
          "\"\(key)\" of tensor \"\(member.key)\" holds \(number.text), beyond 64 bits",
          member.position)
      }
      integers.append(integer)
    }
    return integers
  }

  /// Checks size against offsets and offsets against the file.
  private func place(
    _ member: JSONMember, _ dtype: DType, _ extents: [Int], _ start: Int, _ end: Int
  ) throws(Diagnostic) -> TensorEntry {
    let name = member.key
    guard let size = checkedProduct(extents, times: dtype.byteSize) else {
      throw failure(
        .safetensorsSize, "tensor \"\(name)\" of shape \(Shape(extents)) is beyond 64 bits",
        member.position)
    }
    guard start <= end else {
      throw failure(
        .safetensorsOffsets, "tensor \"\(name)\" ends at \(end), before its start \(start)",
        member.position)
    }
    guard end - start == size else {
      throw failure(
        .safetensorsSize,
        "tensor \"\(name)\" of shape \(Shape(extents)) and type \(dtype.safetensorsName) needs "
          + "\(size) bytes, its offsets span \(end - start)", member.position)
    }
    guard end <= file.byteCount - dataStart else {
      throw Diagnostic(
        .safetensorsOffsets,
        "tensor \"\(name)\" ends at byte \(end) of the data, but there are only "
          + "\(file.byteCount - dataStart)",
        at: .byteOffset(file: file.path, offset: Self.prefixBytes + member.position.offset),
        remedy: "the file was cut off; download it again")
    }
    return TensorEntry(
      name: name, dtype: dtype, shape: Shape(extents),
      byteRange: (dataStart + start)..<(dataStart + end))
  }

  /// Tensors, in the order of their places, must follow one another from the first byte of the
  /// data to the last: no byte may mean two things or nothing.
  private func checkCoverage() throws(Diagnostic) {
    var end = dataStart
    let placed = entries.sorted {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound)
        < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
    }
    for entry in placed {
      let start = entry.byteRange.lowerBound
      guard start == end else {
        let fault = start < end ? "overlaps the tensor before it" : "leaves a hole before it"
        throw Diagnostic(
          .safetensorsOffsets, "tensor \"\(entry.name)\" \(fault)",
          at: .byteOffset(file: file.path, offset: start))
      }
      end = entry.byteRange.upperBound
    }
    guard end == file.byteCount else {
      throw Diagnostic(
        .safetensorsOffsets,
        "\(file.byteCount - end) bytes after the last tensor belong to no tensor",
        at: .byteOffset(file: file.path, offset: end))
    }
  }
}

/// The product of `extents` and `unit`, or nil where 64 bits do not hold it. A zero extent makes
/// zero, but only if what stands beside it can be counted.
func checkedProduct(_ extents: [Int], times unit: Int) -> Int? {
  var product = unit
  for extent in extents where extent != 0 {
    let (next, overflow) = product.multipliedReportingOverflow(by: extent)
    if overflow { return nil }
    product = next
  }
  return extents.contains(0) ? 0 : product
}
