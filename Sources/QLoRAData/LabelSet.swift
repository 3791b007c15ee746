// The classes of rows that are told apart, and what a row's label means by them.
import QLoRADiagnostics
import QLoRAJSON

/// Names of classes; a class is its place among them.
package struct LabelSet: Sendable, Equatable {
  package let names: [String]
  private let places: [String: Int32]

  /// - Parameter names: different from each other.
  package init(_ names: [String]) {
    self.names = names
    places = Dictionary(zip(names, names.indices.map(Int32.init))) { first, _ in first }
  }

  /// The classes that rows name, in the order of their numbers where all are numbers, else of their
  /// bytes, so that the order of rows does not matter.
  ///
  /// - Throws: `Diagnostic` E0405 of the first bad row, `tooFewLabels`.
  package init(reading sources: [DataSource]) throws {
    var names: Set<String> = []
    for source in sources {
      try RowReader(path: source.path).forEachRow(limit: source.limit) { row in
        guard case .classified(_, _, let label) = try source.format.content(of: row) else {
          return
        }
        names.insert(try Self.name(of: label, row))
      }
    }
    guard names.count > 1 else {
      throw Diagnostic(
        .tooFewLabels,
        names.isEmpty ? "no row has a label" : "every row has the label \"\(names.first ?? "")\"",
        at: sources.first.map { .file($0.path) },
        remedy: "give rows of two classes at least, or name all of them in data.labels")
    }
    let numbers = names.compactMap(Int.init)
    self.init(
      numbers.count == names.count
        ? names.sorted { (Int($0) ?? 0, $0) < (Int($1) ?? 0, $1) }
        : names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
  }

  private static func name(of label: JSONValue, _ row: DataRow) throws(Diagnostic) -> String {
    if let name = label.stringValue, !name.isEmpty { return name }
    if let number = label.intValue { return String(number) }
    if let flag = label.boolValue { return String(flag) }
    throw row.failure(
      .rowShape, "label should be a string or an integer, found \(label.kindName)")
  }

  /// The class of a row: by its name, or, where no class is called so, by its place.
  ///
  /// - Throws: `Diagnostic` E0405 for a label of another kind, `unknownLabel`.
  package func place(of label: JSONValue, in row: DataRow) throws(Diagnostic) -> Int32 {
    let name = try Self.name(of: label, row)
    if let place = places[name] { return place }
    if let number = label.intValue, names.indices.contains(number) { return Int32(number) }
    let known = names.prefix(8).map { "\"\($0)\"" }.joined(separator: ", ")
    throw row.failure(
      .unknownLabel,
      "the label \"\(name)\" is none of \(names.count): \(known)\(names.count > 8 ? ", …" : "")",
      remedy: "correct the row, or name all classes in data.labels")
  }
}
