// The rules of a GGUF header: every count is bounded by the bytes left before it is believed,
// every sum is checked, and every tensor lies inside the file.
import QLoRADiagnostics
import QLoRASystem

/// The checked header of a GGUF file while it is read.
struct GGUFHeader {
  static let maximumTensors = 1 << 16
  static let maximumPairs = 1 << 16
  static let maximumKeyBytes = 65_535
  /// llama.cpp keeps names in 64 bytes with a terminating zero.
  static let maximumNameBytes = 63
  static let maximumDimensions = 4
  /// Least bytes of a key with its value, and of a tensor's description.
  private static let minimumPairBytes = 13
  private static let minimumTensorBytes = 24
  private static let defaultAlignment = 32

  private(set) var version = 0
  private(set) var alignment = defaultAlignment
  private(set) var keys: [String] = []
  private(set) var metadata: [String: GGUFValue] = [:]
  private(set) var tensors: [GGUFTensor] = []
  private var cursor: GGUFCursor

  init(_ file: InputFile) { cursor = GGUFCursor(file) }

  mutating func read() throws(Diagnostic) {
    try readMagicAndVersion()
    let tensorCount = try cursor.count(
      limit: min(Self.maximumTensors, (cursor.remaining - 8) / Self.minimumTensorBytes),
      .ggufLimit, "tensors")
    let pairCount = try cursor.count(
      limit: min(Self.maximumPairs, (cursor.remaining - 8) / Self.minimumPairBytes), .ggufLimit,
      "metadata pairs")
    for _ in 0..<pairCount { try readPair() }
    var drafts: [Draft] = []
    drafts.reserveCapacity(tensorCount)
    var names: Set<String> = []
    for _ in 0..<tensorCount {
      let draft = try readTensor()
      guard names.insert(draft.name).inserted else {
        throw cursor.failure(
          .ggufTensorName, "the tensor name \"\(draft.name)\" appears twice", at: draft.place)
      }
      drafts.append(draft)
    }
    try place(drafts)
    try checkVocabulary()
  }

  private mutating func readMagicAndVersion() throws(Diagnostic) {
    guard cursor.remaining >= 4, try cursor.bytes(4).elementsEqual("GGUF".utf8) else {
      throw try ForeignFile.diagnose(cursor.file)
        ?? cursor.failure(.ggufMagic, "the file does not begin with GGUF", at: 0)
    }
    let number = try cursor.integer(UInt32.self)
    if number == 2 || number == 3 {
      version = Int(number)
      return
    }
    let place = cursor.offset - 4
    switch number {
    case _ where number & 0xFFFF == 0 && number != 0:
      throw cursor.failure(
        .ggufBigEndian, "the file is big-endian (version \(number.byteSwapped))", at: place)
    case 0, 1:
      throw cursor.failure(
        .ggufVersion, "GGUF version \(number) is too old; 2 and 3 are read", at: place)
    default:
      throw cursor.failure(
        .ggufVersion, "GGUF version \(number) is newer than this program; 2 and 3 are read",
        at: place)
    }
  }

  private mutating func readPair() throws(Diagnostic) {
    let place = cursor.offset
    let key = try cursor.string()
    guard !key.isEmpty, key.utf8.count <= Self.maximumKeyBytes else {
      throw cursor.failure(
        .ggufKey, "a metadata key of \(key.utf8.count) bytes; 1 to 65,535 are allowed", at: place)
    }
    let type = try cursor.valueType()
    let valuePlace = cursor.offset
    let value = try cursor.value(type)
    guard metadata.updateValue(value, forKey: key) == nil else {
      throw cursor.failure(.ggufKey, "the key \"\(key)\" appears twice", at: place)
    }
    keys.append(key)
    if key == "general.alignment" {
      guard type == .uint32, let bytes = value.int, bytes > 0, bytes & (bytes - 1) == 0 else {
        throw cursor.failure(
          .ggufAlignment, "general.alignment must be a 32-bit power of two", at: valuePlace)
      }
      alignment = bytes
    }
  }

  /// A tensor whose place in the file is not yet checked.
  private struct Draft {
    let name: String
    let type: GGUFTensorType
    let extents: [Int]
    let byteCount: Int
    let offset: UInt64
    /// Where its description begins, and where its offset stands.
    let place: Int
    let offsetPlace: Int
  }

  private mutating func readTensor() throws(Diagnostic) -> Draft {
    let place = cursor.offset
    let name = try cursor.string()
    guard !name.isEmpty, name.utf8.count <= Self.maximumNameBytes else {
      throw cursor.failure(
        .ggufTensorName,
        "a tensor name of \(name.utf8.count) bytes; 1 to \(Self.maximumNameBytes) are allowed",
        at: place)
    }
    let shapePlace = cursor.offset
    let rank = try cursor.integer(UInt32.self)
    guard rank <= Self.maximumDimensions else {
      throw cursor.failure(
        .ggufTensorShape, "tensor \"\(name)\" has \(rank) dimensions, the limit is 4",
        at: shapePlace)
    }
    var extents: [Int] = []
    for _ in 0..<rank {
      let extent = try cursor.integer(Int64.self)
      guard extent >= 0 else {
        throw cursor.failure(
          .ggufTensorShape, "tensor \"\(name)\" has a dimension beyond 63 bits",
          at: cursor.offset - 8)
      }
      extents.append(Int(extent))
    }
    let type = try readType(of: name)
    let row = extents.first ?? 1
    guard row % type.blockElements == 0 else {
      throw cursor.failure(
        .ggufTensorShape,
        "tensor \"\(name)\" has rows of \(row), \(type.name) needs multiples of "
          + "\(type.blockElements)", at: shapePlace)
    }
    let blocks = [row / type.blockElements] + extents.dropFirst()
    guard let byteCount = checkedProduct(blocks, times: type.blockBytes),
      checkedProduct(extents, times: MemoryLayout<Float>.size) != nil
    else {
      throw cursor.failure(
        .ggufTensorShape, "tensor \"\(name)\" of \(extents) is beyond 64 bits", at: shapePlace)
    }
    let offsetPlace = cursor.offset
    return Draft(
      name: name, type: type, extents: extents.reversed(), byteCount: byteCount,
      offset: try cursor.integer(), place: place, offsetPlace: offsetPlace)
  }

  private mutating func readType(of name: String) throws(Diagnostic) -> GGUFTensorType {
    let number = try cursor.integer(UInt32.self)
    if let type = GGUFTensorType(rawValue: number) { return type }
    let place = cursor.offset - 4
    if let known = GGUFTensorType.undecodedNames[number] {
      throw cursor.failure(
        .ggufUnsupportedType, "tensor \"\(name)\" is of type \(known), which is not decoded here",
        at: place)
    }
    throw cursor.failure(
      .ggufTensorType, "tensor \"\(name)\" is of the unknown type \(number)", at: place)
  }

  /// Checks that the tensors follow one another, padded to the alignment, inside the file.
  private mutating func place(_ drafts: [Draft]) throws(Diagnostic) {
    guard let dataStart = padded(cursor.offset) else {
      throw cursor.failure(.ggufAlignment, "general.alignment is beyond the file", at: 0)
    }
    tensors.reserveCapacity(drafts.count)
    var end = 0
    for draft in drafts {
      guard draft.offset == UInt64(end) else {
        throw cursor.failure(
          .ggufTensorOffset,
          "tensor \"\(draft.name)\" is at \(draft.offset), expected \(end)", at: draft.offsetPlace)
      }
      let start = dataStart.addingReportingOverflow(end)
      let stop = start.partialValue.addingReportingOverflow(draft.byteCount)
      guard !start.overflow, !stop.overflow, stop.partialValue <= cursor.file.byteCount else {
        throw cursor.failure(
          .ggufTensorData,
          "tensor \"\(draft.name)\" of \(draft.byteCount) bytes reaches beyond the file's end",
          at: draft.offsetPlace)
      }
      tensors.append(
        GGUFTensor(
          name: draft.name, type: draft.type, extents: draft.extents,
          byteRange: start.partialValue..<stop.partialValue))
      guard let next = padded(end + draft.byteCount) else {
        throw cursor.failure(
          .ggufTensorData, "tensor \"\(draft.name)\" cannot be padded", at: draft.offsetPlace)
      }
      end = next
    }
  }

  private func padded(_ offset: Int) -> Int? {
    let sum = offset.addingReportingOverflow(alignment - 1)
    return sum.overflow ? nil : sum.partialValue & ~(alignment - 1)
  }

  /// Lists of the vocabulary must be of one length and special tokens inside it.
  private func checkVocabulary() throws(Diagnostic) {
    let prefix = "tokenizer.ggml."
    guard let tokens = metadata[prefix + "tokens"]?.array else { return }
    for key in ["scores", "token_type"] {
      guard let list = metadata[prefix + key]?.array, list.count != tokens.count else { continue }
      throw Diagnostic(
        .ggufVocabulary, "\(tokens.count) tokens but \(list.count) values in \(prefix)\(key)",
        at: .file(cursor.file.path))
    }
    for key in ["bos", "eos", "unknown", "padding"] {
      guard let value = metadata["\(prefix)\(key)_token_id"] else { continue }
      guard let id = value.int, (0..<tokens.count).contains(id) else {
        throw Diagnostic(
          .ggufVocabulary,
          "\(prefix)\(key)_token_id is no token of the \(tokens.count) in the vocabulary",
          at: .file(cursor.file.path))
      }
    }
  }
}
