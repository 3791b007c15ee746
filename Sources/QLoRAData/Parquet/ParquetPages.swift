// The pages of a column chunk: found, bounded, decompressed and taken apart.
import QLoRADiagnostics

/// A Parquet file's bytes and its name for messages.
struct ParquetBytes {
  let store: any ByteStore
  let file: String

  func failure(_ damage: Damage, at offset: Int) -> Diagnostic {
    Diagnostic(
      .tableDamaged, damage.message, at: .byteOffset(file: file, offset: offset),
      remedy: "download or write the file again")
  }
}

/// A page of entries, its parts still encoded.
struct ParquetPage {
  let count: Int
  let levels: ByteCursor?
  let definitions: ByteCursor?
  let values: ByteCursor
  let encoding: Int
}

struct ParquetPages {
  /// Of one page, decompressed; writers aim at 1 MiB.
  private static let largestPage = 256 << 20
  /// Headers hold statistics, whose values are cut short by writers of today only.
  private static let largestHeader = 16 << 20

  private let leaf: ParquetLeaf
  private let codec: Int
  private let file: ParquetBytes
  private var position: Int
  private let end: Int
  /// Of the page that was read last.
  private var pageStart: Int
  private(set) var dictionary: ParquetDictionary?

  init(_ leaf: ParquetLeaf, _ chunk: ParquetFooter.Chunk, _ file: ParquetBytes)
    throws(Diagnostic)
  {
    self.leaf = leaf
    self.file = file
    codec = chunk.codec
    position = chunk.start
    pageStart = position
    end = position + chunk.byteCount
    if chunk.isEncrypted || chunk.isElsewhere {
      throw Diagnostic(
        .tableUnsupported,
        "column \"\(leaf.path)\" is \(chunk.isEncrypted ? "encrypted" : "in another file")",
        at: .file(file.file), remedy: "write the table again, as one plain file")
    }
    try checkCodec()
    guard end <= file.store.byteCount else {
      throw failure(Damage("\(chunk.byteCount) bytes that the file does not have"))
    }
    guard chunk.type == leaf.kind.rawValue else {
      throw failure(Damage("another type than the schema's"))
    }
  }

  func failure(_ damage: Damage) -> Diagnostic {
    file.failure(Damage("column \"\(leaf.path)\": \(damage.message)"), at: pageStart)
  }

  /// The next page of entries; dictionaries on the way are kept. Nil at the end.
  mutating func next() throws(Diagnostic) -> ParquetPage? {
    while position < end {
      pageStart = position
      let header = try readHeader()
      guard header.compressedByteCount <= end - position else {
        throw failure(Damage("a page of \(header.compressedByteCount) bytes beyond its column"))
      }
      guard header.byteCount <= Self.largestPage, header.valueCount <= Int(Int32.max) else {
        throw failure(Damage("a page of \(header.byteCount) bytes, \(header.valueCount) entries"))
      }
      let stored = position..<position + header.compressedByteCount
      position = stored.upperBound
      // Other kinds, such as an index, are for other readers.
      guard let kind = header.kind, kind != .index else { continue }
      let bytes = try file.store.bytes(stored)
      do {
        switch kind {
        case .index: continue
        case .dictionary:
          let content = try decompressed(bytes, header.byteCount)
          dictionary = try ParquetDictionary(content, count: header.valueCount, leaf: leaf)
        case .data: return try page(try decompressed(bytes, header.byteCount), header)
        case .dataV2: return try pageV2(bytes, header)
        }
      } catch let damage as Damage {
        throw failure(damage)
      } catch let problem as Diagnostic {
        throw problem
      } catch {
        throw failure(Damage("\(error)"))
      }
    }
    return nil
  }

  /// A header's length stands nowhere: more is read until it is complete.
  private mutating func readHeader() throws(Diagnostic) -> ParquetPageHeader {
    var length = 1 << 10
    while true {
      let bytes = try file.store.bytes(position..<min(position + length, end))
      var reader = ThriftReader(ByteCursor(bytes))
      do throws(Damage) {
        let header = try ParquetPageHeader(&reader)
        position += reader.cursor.position
        return header
      } catch {
        guard bytes.count == length, length < Self.largestHeader else {
          throw failure(Damage("the head of a page: \(error.message)"))
        }
        length *= 8
      }
    }
  }

  private func page(_ bytes: [UInt8], _ header: ParquetPageHeader) throws(Damage) -> ParquetPage {
    var cursor = ByteCursor(bytes)
    let levels = try part(&cursor, leaf.level, header.repetitionEncoding)
    let definitions = try part(&cursor, leaf.definition, header.definitionEncoding)
    return ParquetPage(
      count: header.valueCount, levels: levels, definitions: definitions, values: cursor,
      encoding: header.encoding)
  }

  /// Levels with their length before them; nil where all would be 0.
  private func part(
    _ cursor: inout ByteCursor, _ maximum: Int, _ encoding: Int
  ) throws(Damage) -> ByteCursor? {
    guard maximum > 0 else { return nil }
    guard encoding == 3 else { throw Damage("levels in an old encoding, number \(encoding)") }
    return ByteCursor(cursor.bytes, try cursor.take(try cursor.length()))
  }

  private func pageV2(_ bytes: [UInt8], _ header: ParquetPageHeader) throws -> ParquetPage {
    var cursor = ByteCursor(bytes)
    let levels = try cursor.take(header.repetitionBytes)
    let definitions = try cursor.take(header.definitionBytes)
    let rest = Array(bytes[try cursor.take(cursor.left)])
    let byteCount = header.byteCount - levels.count - definitions.count
    let values =
      header.isCompressed && !rest.isEmpty ? try decompressed(rest, max(0, byteCount)) : rest
    return ParquetPage(
      count: header.valueCount, levels: leaf.level > 0 ? ByteCursor(bytes, levels) : nil,
      definitions: leaf.definition > 0 ? ByteCursor(bytes, definitions) : nil,
      values: ByteCursor(values), encoding: header.encoding)
  }
}

extension ParquetPages {
  private static let codecNames = [
    "UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW",
  ]

  private func checkCodec() throws(Diagnostic) {
    if [0, 1, 2, 6, 7].contains(codec) { return }
    let name = Self.codecNames.indices.contains(codec) ? Self.codecNames[codec] : "\(codec)"
    throw Diagnostic(
      .tableUnsupported, "column \"\(leaf.path)\" is compressed with \(name)", at: .file(file.file),
      remedy: "write the table again with zstd: in Python, "
        + "pq.write_table(pq.read_table(old), new, compression=\"zstd\")")
  }

  /// - Throws: `Damage`, or the stream's own diagnostic.
  private func decompressed(_ bytes: [UInt8], _ byteCount: Int) throws -> [UInt8] {
    let input = StoredBytes(MemoryBytes(bytes))
    switch codec {
    case 1: return try SnappyBlock.decompress(bytes, byteCount: byteCount)
    case 7: return try LZ4Block.decompress(bytes, byteCount: byteCount)
    case 2: return try collected(GzipBytes(input, file: file.file), byteCount)
    case 6: return try collected(ZstdBytes(input, file: file.file), byteCount)
    default:
      guard bytes.count == byteCount else {
        throw Damage("a page of \(bytes.count) bytes that says \(byteCount)")
      }
      return bytes
    }
  }

  /// Memory grows with what comes, not with what was declared.
  private func collected(_ stream: any ByteStream, _ byteCount: Int) throws -> [UInt8] {
    var output: [UInt8] = []
    while output.count <= byteCount {
      let piece: [UInt8]
      do { piece = try stream.next() } catch { throw Damage(error.message) }
      if piece.isEmpty { break }
      output += piece
    }
    guard output.count == byteCount else {
      throw Damage("a page that says \(byteCount) bytes has \(output.count)")
    }
    return output
  }
}
