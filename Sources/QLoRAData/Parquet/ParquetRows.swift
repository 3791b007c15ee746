// Rows put together again from the columns of a row group.
import QLoRADiagnostics
import QLoRAJSON

/// A row as a JSON object. A column without a value is null; in structures below, a member without
/// a value is left out, because the format can't tell one from a member that was never there.
struct ParquetRows {
  /// Entries of all columns of one row, and bytes of text in them: more is a bomb.
  static let mostEntries = 1 << 22
  private static let mostTextBytes = TextBuffer.longestRow

  private var columns: [ParquetColumn]
  private var entries = 0
  private var textBytes = 0

  init(_ columns: [ParquetColumn]) { self.columns = columns }

  mutating func next(_ fields: [ParquetNode]) throws(Diagnostic) -> JSONValue {
    entries = 0
    textBytes = 0
    try checkRow(0..<columns.count)
    var members: [(String, JSONValue)] = []
    for field in fields { members.append((field.name, try read(field))) }
    return .dictionary(members)
  }

  /// - Throws: where a column has more entries than rows want.
  func checkEnd() throws(Diagnostic) {
    for column in columns where column.hasEntry {
      throw column.failure(Damage("more entries than rows"))
    }
  }

  /// The next entry of each column begins a row.
  private func checkRow(_ range: Range<Int>) throws(Diagnostic) {
    for index in range where !columns[index].hasEntry || columns[index].level != 0 {
      throw columns[index].failure(Damage("its entries and the rows don't agree"))
    }
  }

  private mutating func read(_ node: ParquetNode) throws(Diagnostic) -> JSONValue {
    switch node.repetition {
    case .required: return try content(node)
    case .optional:
      if isPresent(node) { return try content(node) }
      try skip(node.leaves)
      return .null
    case .repeated:
      return .list(
        try elements(node) { (rows) throws(Diagnostic) in try rows.content(node) })
    }
  }

  private func isPresent(_ node: ParquetNode) -> Bool {
    columns[node.leaves.lowerBound].definition >= node.definition
  }

  private mutating func content(_ node: ParquetNode) throws(Diagnostic) -> JSONValue {
    switch node.content {
    case .leaf(let leaf): return try leafValue(leaf)
    case .group(let children): return .dictionary(try members(children))
    case .list(let inner, let unwraps):
      return .list(
        try elements(inner) { (rows) throws(Diagnostic) in
          guard unwraps, case .group(let children) = inner.content else {
            return try rows.content(inner)
          }
          return try rows.read(children[0])
        })
    case .map(let inner):
      guard case .group(let children) = inner.content else { return try content(inner) }
      var pairs: [(String, JSONValue)] = []
      _ = try elements(inner) { (rows) throws(Diagnostic) in
        let key = try rows.read(children[0])
        pairs.append((key.stringValue ?? JSONWriter.text(key), try rows.read(children[1])))
        return .null
      }
      return .dictionary(pairs)
    }
  }

  private mutating func members(
    _ children: [ParquetNode]
  ) throws(Diagnostic) -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = []
    for child in children {
      let value = try read(child)
      if !value.isNull { members.append((child.name, value)) }
    }
    return members
  }

  /// The elements of a repeated node; none where it is absent.
  private mutating func elements(
    _ node: ParquetNode, _ element: (inout Self) throws(Diagnostic) -> JSONValue
  ) throws(Diagnostic) -> [JSONValue] {
    guard isPresent(node) else {
      try skip(node.leaves)
      return []
    }
    var elements: [JSONValue] = []
    var goesOn = true
    while goesOn {
      elements.append(try element(&self))
      goesOn = isFurther(node, node.leaves.lowerBound)
      for index in node.leaves where isFurther(node, index) != goesOn {
        throw columns[index].failure(Damage("lists of different lengths in one structure"))
      }
    }
    return elements
  }

  private func isFurther(_ node: ParquetNode, _ column: Int) -> Bool {
    columns[column].hasEntry && columns[column].level == node.level
  }

  private mutating func leafValue(_ leaf: ParquetLeaf) throws(Diagnostic) -> JSONValue {
    let index = leaf.index
    guard columns[index].hasEntry, columns[index].definition == leaf.definition else {
      throw columns[index].failure(Damage("its levels don't agree with those beside it"))
    }
    let value = columns[index].value
    if case .string(let text) = value { textBytes += text.utf8.count }
    try advance(index)
    return value
  }

  private mutating func skip(_ range: Range<Int>) throws(Diagnostic) {
    for index in range {
      guard columns[index].hasEntry else {
        throw columns[index].failure(Damage("its entries and the rows don't agree"))
      }
      try advance(index)
    }
  }

  private mutating func advance(_ index: Int) throws(Diagnostic) {
    entries += 1
    guard entries <= Self.mostEntries, textBytes <= Self.mostTextBytes else {
      throw Diagnostic(
        .rowTooLarge,
        "a row has more than \(Self.mostEntries) values or \(Self.mostTextBytes >> 20) MiB of text",
        at: columns[index].failure(Damage("")).location)
    }
    try columns[index].advance()
  }
}
