// What a Parquet file says about itself: the footer and the headers of its pages, as plain values.
// Sizes and counts are not negative; whether they fit the file is checked where they are used.

/// Source: Apache Parquet, "parquet.thrift"; the numbers are those of its fields.
struct ParquetFooter {
  struct Element {
    var type: Int?
    var typeLength = 0
    /// 0 required, 1 optional, 2 repeated.
    var repetition = 0
    var name = ""
    var childCount = 0
    var convertedType: Int?
    /// The number of the member that the union of logical types has.
    var logicalType: Int?
  }

  struct Chunk {
    var isElsewhere = false
    var isEncrypted = false
    var type = -1
    var codec = 0
    var valueCount = 0
    var byteCount = 0
    var dataOffset = 0
    var dictionaryOffset: Int?

    /// Old writers put 0 where there is no dictionary.
    var start: Int {
      guard let dictionaryOffset, dictionaryOffset > 0 else { return dataOffset }
      return min(dictionaryOffset, dataOffset)
    }
  }

  struct RowGroup {
    var chunks: [Chunk] = []
    var rowCount = 0
  }

  var elements: [Element] = []
  var rowGroups: [RowGroup] = []

  init(_ bytes: [UInt8]) throws(Damage) {
    var reader = ThriftReader(ByteCursor(bytes))
    var last = 0
    while let field = try reader.field(after: &last) {
      switch field.id {
      case 2:
        for _ in 0..<(try reader.list(field, of: .structure)) {
          elements.append(try reader.element())
        }
      case 4:
        for _ in 0..<(try reader.list(field, of: .structure)) {
          rowGroups.append(try reader.rowGroup())
        }
      default: try reader.skip(field)
      }
    }
  }
}

extension ThriftReader {
  fileprivate mutating func element() throws(Damage) -> ParquetFooter.Element {
    var element = ParquetFooter.Element()
    var last = 0
    while let field = try field(after: &last) {
      switch field.id {
      case 1: element.type = try integer(field)
      case 2: element.typeLength = try count(field)
      case 3: element.repetition = try count(field)
      case 4: element.name = try text(field)
      case 5: element.childCount = try count(field)
      case 6: element.convertedType = try integer(field)
      case 10:
        try checkStructure(field)
        var inner = 0
        while let member = try self.field(after: &inner) {
          element.logicalType = member.id
          try skip(member)
        }
      default: try skip(field)
      }
    }
    return element
  }

  fileprivate mutating func rowGroup() throws(Damage) -> ParquetFooter.RowGroup {
    var group = ParquetFooter.RowGroup()
    var last = 0
    while let field = try field(after: &last) {
      switch field.id {
      case 1:
        for _ in 0..<(try list(field, of: .structure)) { group.chunks.append(try chunk()) }
      case 3: group.rowCount = try count(field)
      default: try skip(field)
      }
    }
    return group
  }

  private mutating func chunk() throws(Damage) -> ParquetFooter.Chunk {
    var chunk = ParquetFooter.Chunk()
    var last = 0
    while let field = try field(after: &last) {
      switch field.id {
      case 1: chunk.isElsewhere = try !text(field).isEmpty
      case 3:
        try checkStructure(field)
        try readMetadata(into: &chunk)
      case 8, 9:
        chunk.isEncrypted = true
        try skip(field)
      default: try skip(field)
      }
    }
    return chunk
  }

  private mutating func readMetadata(into chunk: inout ParquetFooter.Chunk) throws(Damage) {
    var last = 0
    while let field = try field(after: &last) {
      switch field.id {
      case 1: chunk.type = try integer(field)
      case 4: chunk.codec = try integer(field)
      case 5: chunk.valueCount = try count(field)
      case 7: chunk.byteCount = try count(field)
      case 9: chunk.dataOffset = try count(field)
      case 11: chunk.dictionaryOffset = try count(field)
      default: try skip(field)
      }
    }
  }
}

/// What stands before a page.
struct ParquetPageHeader {
  enum Kind: Int { case data, index, dictionary, dataV2 }

  private(set) var kind: Kind?
  private(set) var byteCount = 0
  private(set) var compressedByteCount = 0
  private(set) var valueCount = 0
  private(set) var encoding = 0
  /// RLE, where a page does not say.
  private(set) var definitionEncoding = 3
  private(set) var repetitionEncoding = 3
  private(set) var definitionBytes = 0
  private(set) var repetitionBytes = 0
  private(set) var isCompressed = true

  init(_ reader: inout ThriftReader) throws(Damage) {
    var last = 0
    while let field = try reader.field(after: &last) {
      switch field.id {
      case 1: kind = Kind(rawValue: try reader.integer(field))
      case 2: byteCount = try reader.count(field)
      case 3: compressedByteCount = try reader.count(field)
      case 5, 7, 8:
        try reader.checkStructure(field)
        try readDetails(&reader, isV2: field.id == 8, isDictionary: field.id == 7)
      default: try reader.skip(field)
      }
    }
  }

  private mutating func readDetails(
    _ reader: inout ThriftReader, isV2: Bool, isDictionary: Bool
  ) throws(Damage) {
    var last = 0
    while let field = try reader.field(after: &last) {
      switch (field.id, isV2) {
      case (1, _): valueCount = try reader.count(field)
      case (2, false), (4, true): encoding = try reader.integer(field)
      case (3, false) where !isDictionary: definitionEncoding = try reader.integer(field)
      case (4, false): repetitionEncoding = try reader.integer(field)
      case (5, true): definitionBytes = try reader.count(field)
      case (6, true): repetitionBytes = try reader.count(field)
      case (7, true): isCompressed = try reader.boolean(field)
      default: try reader.skip(field)
      }
    }
  }
}
