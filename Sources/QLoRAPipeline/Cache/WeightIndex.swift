// index.json of a cached base: which weights there are, and where their parts lie in weights.bin.

import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

/// A part of a weight within the file of weights.
struct IndexedPart: Equatable {
  let dtype: DType
  let count: Int
  /// In bytes, a multiple of `Storage.alignment`.
  let offset: Int

  var byteCount: Int { count * dtype.byteSize }
}

/// A weight whose parts lie in the file of weights.
struct IndexedWeight: Equatable {
  let module: String
  let outFeatures: Int
  let inFeatures: Int
  let storage: WeightStorage
  let parts: [IndexedPart]
}

struct WeightIndex: Equatable {
  static let fileName = "index.json"
  static let weightsName = "weights.bin"
  /// No dimension of a weight and no file is larger; products of two still fit.
  private static let limit = 1 << 31

  private(set) var weights: [IndexedWeight] = []
  /// Bytes of the file of weights: every part is followed by at least `Storage.alignment` bytes.
  private(set) var byteCount = 0

  init() {}

  /// Finds places for a weight's parts behind all others.
  mutating func add(_ module: String, _ weight: ArchivedWeight) {
    append(
      IndexedWeight(
        module: module, outFeatures: weight.outFeatures, inFeatures: weight.inFeatures,
        storage: weight.storage,
        parts: weight.parts.map { IndexedPart(dtype: $0.dtype, count: $0.count, offset: 0) }))
  }

  /// The index of a file that holds only some of the modules.
  func keeping(_ isKept: (_ module: String) -> Bool) -> WeightIndex {
    var index = WeightIndex()
    for weight in weights where isKept(weight.module) { index.append(weight) }
    return index
  }

  private mutating func append(_ weight: IndexedWeight) {
    let parts = weight.parts.map { part in
      defer { byteCount = Self.end(of: part.byteCount, from: byteCount) }
      return IndexedPart(dtype: part.dtype, count: part.count, offset: byteCount)
    }
    weights.append(
      IndexedWeight(
        module: weight.module, outFeatures: weight.outFeatures, inFeatures: weight.inFeatures,
        storage: weight.storage, parts: parts))
  }

  /// Where the next part may begin.
  static func end(of byteCount: Int, from offset: Int) -> Int {
    let alignment = Storage.alignment
    return offset + (byteCount + alignment - 1) / alignment * alignment + alignment
  }

  // MARK: Text

  var text: String {
    JSONWriter.text(.dictionary([("weights", .list(weights.map(\.json)))])) + "\n"
  }

  /// - Parameter byteCount: of the file of weights, which no part may leave.
  /// - Throws: `cacheEntryDamaged`.
  init(parsing bytes: [UInt8], weightBytes: Int, file: String) throws(Diagnostic) {
    guard let value = try? JSONValue(parsing: bytes), let items = value["weights"]?.arrayValue
    else { throw Self.damaged(file) }
    byteCount = weightBytes
    for item in items {
      guard let weight = IndexedWeight(item),
        (1..<Self.limit).contains(weight.outFeatures), (1..<Self.limit).contains(weight.inFeatures),
        weight.parts.allSatisfy({ Self.fits($0, weightBytes) })
      else { throw Self.damaged(file) }
      weights.append(weight)
    }
  }

  private static func fits(_ part: IndexedPart, _ byteCount: Int) -> Bool {
    guard part.offset >= 0, part.offset % Storage.alignment == 0, part.offset <= byteCount,
      (0...byteCount).contains(part.count)
    else { return false }
    return end(of: part.byteCount, from: part.offset) <= byteCount
  }

  private static func damaged(_ file: String) -> Diagnostic {
    Diagnostic(.cacheEntryDamaged, "the index of the weights makes no sense", at: .file(file))
  }
}

extension IndexedWeight {
  fileprivate var json: JSONValue {
    let held: JSONValue =
      switch storage {
      case .dense(let dtype): .string(dtype.rawValue)
      case .fourBit(let spec): WeightQuantization.fourBit(spec).json
      case .int8(let spec): WeightQuantization.int8(spec).json
      }
    return .dictionary([
      ("module", .string(module)), ("out", .int(outFeatures)), ("in", .int(inFeatures)),
      ("held", held), ("parts", .list(parts.map(\.json))),
    ])
  }

  fileprivate init?(_ value: JSONValue) {
    guard let module = value["module"]?.stringValue, let out = value["out"]?.intValue,
      let input = value["in"]?.intValue, let held = value["held"],
      let parts = value["parts"]?.arrayValue
    else { return nil }
    if let dtype = held.stringValue.flatMap({ DType(rawValue: $0) }) {
      storage = .dense(dtype)
    } else if let quantization = WeightQuantization(json: held) {
      storage = quantization.storage
    } else {
      return nil
    }
    self.module = module
    (outFeatures, inFeatures) = (out, input)
    let read = parts.compactMap(IndexedPart.init)
    guard read.count == parts.count else { return nil }
    self.parts = read
  }
}

extension IndexedPart {
  fileprivate var json: JSONValue {
    .dictionary([
      ("dtype", .string(dtype.rawValue)), ("count", .int(count)), ("offset", .int(offset)),
    ])
  }

  fileprivate init?(_ value: JSONValue) {
    guard let dtype = value["dtype"]?.stringValue.flatMap({ DType(rawValue: $0) }),
      let count = value["count"]?.intValue, let offset = value["offset"]?.intValue
    else { return nil }
    self.init(dtype: dtype, count: count, offset: offset)
  }
}
