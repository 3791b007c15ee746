// One column of one row group, read page by page: repetition level, definition level and value of
// each entry in turn.
import QLoRADiagnostics
import QLoRAJSON

struct ParquetColumn {
  let leaf: ParquetLeaf
  private var pages: ParquetPages
  /// Entries that no page has given yet.
  private var unseen: Int
  private var inPage = 0
  private var levels: HybridReader?
  private var definitions: HybridReader?
  private var values: ParquetValues?

  /// Whether there is an entry; the three below are its.
  private(set) var hasEntry = false
  private(set) var level = 0
  private(set) var definition = 0
  private(set) var value = JSONValue.null

  init(_ leaf: ParquetLeaf, _ chunk: ParquetFooter.Chunk, _ file: ParquetBytes)
    throws(Diagnostic)
  {
    self.leaf = leaf
    pages = try ParquetPages(leaf, chunk, file)
    unseen = chunk.valueCount
    try advance()
  }

  /// Goes on to the next entry.
  mutating func advance() throws(Diagnostic) {
    while inPage == 0 {
      guard unseen > 0 else {
        hasEntry = false
        return
      }
      try nextPage()
    }
    do throws(Damage) {
      inPage -= 1
      level = try levels?.next() ?? 0
      definition = try definitions?.next() ?? 0
      guard level <= leaf.level, definition <= leaf.definition else {
        throw Damage("a level beyond the schema's")
      }
      value = .null
      if definition == leaf.definition { value = try values?.next() ?? .null }
      hasEntry = true
    } catch {
      throw pages.failure(error)
    }
  }

  private mutating func nextPage() throws(Diagnostic) {
    guard let page = try pages.next() else {
      throw pages.failure(Damage("the pages end \(unseen) entries too early"))
    }
    guard page.count <= unseen else {
      throw pages.failure(Damage("a page of \(page.count) entries, \(unseen) are left"))
    }
    unseen -= page.count
    inPage = page.count
    do throws(Damage) {
      levels = try Self.reader(page.levels, leaf.level)
      definitions = try Self.reader(page.definitions, leaf.definition)
      values = try ParquetValues(
        page.values, encoding: page.encoding, leaf: leaf, dictionary: pages.dictionary)
    } catch {
      throw pages.failure(error)
    }
  }

  private static func reader(
    _ cursor: ByteCursor?, _ maximum: Int
  ) throws(Damage) -> HybridReader? {
    guard let cursor else { return nil }
    return try HybridReader(cursor, width: HybridReader.width(of: maximum))
  }

  func failure(_ damage: Damage) -> Diagnostic { pages.failure(damage) }
}
