// The shape of a Parquet file's rows: a tree whose leaves are columns, with the levels by which
// rows are put together again.

/// Source: Melnik et al. 2010, "Dremel: interactive analysis of web-scale datasets", §4; Apache
/// Parquet, "LogicalTypes.md", for lists and maps.
final class ParquetNode: Sendable {
  enum Content: Sendable {
    case leaf(ParquetLeaf)
    case group([ParquetNode])
    /// A group that stands for a list: its repeated child, and whether an element is that child's
    /// only child instead of the child itself.
    case list(ParquetNode, unwraps: Bool)
    case map(ParquetNode)
  }

  enum Repetition: Int, Sendable { case required, optional, repeated }

  let name: String
  let repetition: Repetition
  /// The definition level from which on the node is present, and the repetition level of a further
  /// element of it where it is repeated.
  let definition: Int
  let level: Int
  /// The columns below it.
  let leaves: Range<Int>
  let content: Content

  fileprivate init(
    _ element: ParquetFooter.Element, _ repetition: Repetition, definition: Int, level: Int,
    leaves: Range<Int>, content: Content
  ) {
    name = element.name
    self.repetition = repetition
    self.definition = definition
    self.level = level
    self.leaves = leaves
    self.content = content
  }
}

/// A column.
struct ParquetLeaf: Sendable {
  enum Kind: Int, Sendable {
    case boolean, int32, int64, int96, float, double, bytes, fixedBytes
  }

  let index: Int
  let path: String
  let kind: Kind
  /// Of a value; for `fixedBytes`.
  let byteCount: Int
  let isUnsigned: Bool
  let isText: Bool
  let definition: Int
  let level: Int
}

struct ParquetSchema: Sendable {
  private static let maximumDepth = 32
  /// Columns in all: a table has tens.
  private static let maximumNodes = 1 << 16

  let columns: [ParquetNode]
  let leaves: [ParquetLeaf]

  init(_ elements: [ParquetFooter.Element]) throws(Damage) {
    guard let root = elements.first, elements.count <= Self.maximumNodes else {
      throw Damage("a schema of \(elements.count) elements")
    }
    var builder = Builder(elements: elements)
    columns = try builder.children(of: root, path: "", definition: 0, level: 0, depth: 0)
    leaves = builder.leaves
    guard builder.next == elements.count else { throw Damage("the schema has stray elements") }
  }

  private struct Builder {
    let elements: [ParquetFooter.Element]
    var next = 1
    var leaves: [ParquetLeaf] = []

    mutating func children(
      of element: ParquetFooter.Element, path: String, definition: Int, level: Int, depth: Int
    ) throws(Damage) -> [ParquetNode] {
      guard depth < ParquetSchema.maximumDepth, element.childCount <= elements.count - next else {
        throw Damage("the schema is not a tree")
      }
      var children: [ParquetNode] = []
      for _ in 0..<element.childCount {
        children.append(try node(path, definition, level, depth + 1))
      }
      return children
    }

    private mutating func node(
      _ parent: String, _ definition: Int, _ level: Int, _ depth: Int
    ) throws(Damage) -> ParquetNode {
      guard next < elements.count else { throw Damage("the schema is not a tree") }
      let element = elements[next]
      next += 1
      guard let repetition = ParquetNode.Repetition(rawValue: element.repetition) else {
        throw Damage("an unknown repetition")
      }
      let definition = definition + (repetition == .required ? 0 : 1)
      let level = level + (repetition == .repeated ? 1 : 0)
      let path = parent.isEmpty ? element.name : "\(parent).\(element.name)"
      let first = leaves.count
      let content: ParquetNode.Content
      if element.childCount == 0 {
        let leaf = try leaf(element, path, definition, level)
        leaves.append(leaf)
        content = .leaf(leaf)
      } else {
        let children = try children(
          of: element, path: path, definition: definition, level: level, depth: depth)
        content = Self.content(element, children)
      }
      return ParquetNode(
        element, repetition, definition: definition, level: level,
        leaves: first..<leaves.count, content: content)
    }

    private func leaf(
      _ element: ParquetFooter.Element, _ path: String, _ definition: Int, _ level: Int
    ) throws(Damage) -> ParquetLeaf {
      guard let kind = element.type.flatMap(ParquetLeaf.Kind.init) else {
        throw Damage("column \"\(path)\" has no type")
      }
      if kind == .fixedBytes, !(1...(1 << 20) ~= element.typeLength) {
        throw Damage("column \"\(path)\" has values of \(element.typeLength) bytes")
      }
      // Text, enumerations and JSON; unsigned integers of 8…64 bits.
      let isText =
        [0, 4, 19].contains(element.convertedType) || [1, 4, 12].contains(element.logicalType)
      return ParquetLeaf(
        index: leaves.count, path: path, kind: kind, byteCount: element.typeLength,
        isUnsigned: (11...14).contains(element.convertedType ?? -1), isText: isText,
        definition: definition, level: level)
    }

    private static func content(
      _ element: ParquetFooter.Element, _ children: [ParquetNode]
    ) -> ParquetNode.Content {
      guard children.count == 1, children[0].repetition == .repeated else {
        return .group(children)
      }
      let inner = children[0]
      if element.convertedType == 3 || element.logicalType == 3 {
        guard case .group(let members) = inner.content, members.count == 1 else {
          return .list(inner, unwraps: false)
        }
        // Writers of old named the element itself so.
        let isElement = inner.name == "array" || inner.name == element.name + "_tuple"
        return .list(inner, unwraps: !isElement)
      }
      let isMap = [1, 2].contains(element.convertedType) || element.logicalType == 2
      if isMap, case .group(let members) = inner.content, members.count == 2 {
        return .map(inner)
      }
      return .group(children)
    }
  }
}
