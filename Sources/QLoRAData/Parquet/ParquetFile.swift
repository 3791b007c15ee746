// A Parquet table as rows: the footer, then one row group after the other, of which one page of
// each column is in memory at a time.
import QLoRADiagnostics
import QLoRAJSON

/// Source: Apache Parquet, "File format" (README of apache/parquet-format).
struct ParquetFile {
  static let magic = Array("PAR1".utf8)
  /// Ends a file whose footer is encrypted.
  private static let encryptedMagic = Array("PARE".utf8)
  /// A hundred row groups of a hundred columns take a megabyte.
  private static let largestFooter = 64 << 20

  private let bytes: ParquetBytes
  private let schema: ParquetSchema
  private let rowGroups: [ParquetFooter.RowGroup]

  init(_ store: any ByteStore, file: String) throws(Diagnostic) {
    bytes = ParquetBytes(store: store, file: file)
    let end = store.byteCount - 8
    guard end >= 4 else { throw bytes.failure(Damage("a Parquet file of 12 bytes or less"), at: 0) }
    let tail = try store.bytes(end..<store.byteCount)
    if tail[4...].elementsEqual(Self.encryptedMagic) {
      throw Diagnostic(
        .tableUnsupported, "the table is encrypted", at: .file(file),
        remedy: "write it again without encryption")
    }
    guard tail[4...].elementsEqual(Self.magic) else {
      throw bytes.failure(Damage("the end of a Parquet file is missing"), at: end)
    }
    let length = (0..<4).reversed().reduce(0) { $0 << 8 | Int(tail[$1]) }
    guard length <= end - 4, length <= Self.largestFooter else {
      throw bytes.failure(Damage("a footer of \(length) bytes"), at: end)
    }
    do {
      let footer = try ParquetFooter(try store.bytes(end - length..<end))
      schema = try ParquetSchema(footer.elements)
      rowGroups = footer.rowGroups
      let columnCount = schema.leaves.count
      guard rowGroups.allSatisfy({ $0.chunks.count == columnCount }) else {
        throw Damage("a row group without all of the \(columnCount) columns")
      }
    } catch let damage as Damage {
      throw bytes.failure(Damage("the footer: \(damage.message)"), at: end - length)
    } catch let problem as Diagnostic {
      throw problem
    } catch {
      throw bytes.failure(Damage("\(error)"), at: end - length)
    }
  }

  func forEach(_ body: RowVisitor) throws {
    var number = 0
    for group in rowGroups where group.rowCount > 0 {
      guard !schema.leaves.isEmpty else { return }
      var columns: [ParquetColumn] = []
      for (leaf, chunk) in zip(schema.leaves, group.chunks) {
        columns.append(try ParquetColumn(leaf, chunk, bytes))
      }
      var rows = ParquetRows(columns)
      for _ in 0..<group.rowCount {
        number += 1
        let row: JSONValue
        do throws(Diagnostic) {
          row = try rows.next(schema.columns)
        } catch {
          throw error.inRow(number)
        }
        if try !body(number, row) { return }
      }
      try rows.checkEnd()
    }
  }
}

extension Diagnostic {
  fileprivate func inRow(_ number: Int) -> Diagnostic {
    Diagnostic(code, "row \(number): \(message)", at: location, remedy: remedy)
  }
}
