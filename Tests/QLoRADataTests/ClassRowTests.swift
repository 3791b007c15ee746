// Rows with a class: their labels, their places in batches, and what packing keeps of them.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import TestSupport
import Testing

import QLoRAData

@Suite struct ClassRowTests {
  private func row(
    _ count: Int, category: Int32, secondStart: Int? = nil, origins: [TokenOrigin] = []
  ) -> EncodedRow {
    let tokens = (0..<Int32(count)).map { 10 + $0 }
    var row = EncodedRow(
      tokens: tokens, labels: tokens.map { _ in untrainedLabel }, number: Int(category) + 1,
      origins: origins)
    row.category = category
    row.secondStart = secondStart
    return row
  }

  @Test func packedRowsComeBack() throws {
    let rows = [
      row(3, category: 0), row(300, category: 70_000, secondStart: 200),
      row(1, category: 1, origins: [.text]),
    ]
    #expect(try EncodedRows(rows).all() == rows)
    #expect(rows.map(\.labelledTokenCount) == [1, 1, 1])
  }

  @Test func fingerprintsTellClassesApart() {
    let one = DataFingerprint([row(3, category: 0)])
    #expect(one != DataFingerprint([row(3, category: 1)]))
    #expect(one != DataFingerprint([row(3, category: 0, secondStart: 2)]))
    #expect(one == DataFingerprint([row(3, category: 0)]))
  }

  @Test func everyRowOfABatchHasATarget() {
    let batch = MicroBatch([
      PackedSequence([row(3, category: 2), row(2, category: 0, secondStart: 1)]),
      PackedSequence([row(4, category: 1)]),
    ])
    #expect(batch.predictions().rows == [2, 4, 8])
    #expect(batch.predictions().targets == [2, 0, 1])
    #expect(batch.types == [0, 0, 0, 0, 1, 0, 0, 0, 0] && batch.labelledTokenCount == 3)
    #expect(MicroBatch([PackedSequence([row(3, category: 2)])]).types.isEmpty)
  }

  private func labels(_ text: String) throws -> LabelSet {
    let folder = try TemporaryFolder()
    let path = folder.path("rows.jsonl")
    try Data(text.utf8).write(to: folder.url.appending(path: "rows.jsonl"))
    return try LabelSet(reading: [DataSource(path: path, format: .classification)])
  }

  @Test func labelsAreInAnOrderOfTheirOwn() throws {
    let rows = ["10", "\"9\"", "2", "10"].map { "{\"text\": \"t\", \"label\": \($0)}\n" }
    #expect(try labels(rows.joined()).names == ["2", "9", "10"])
    let words = ["\"b\"", "\"a\"", "true"].map { "{\"text\": \"t\", \"label\": \($0)}\n" }
    #expect(try labels(words.joined()).names == ["a", "b", "true"])
    #expect(throws: Diagnostic.self) { try labels("{\"text\": \"t\", \"label\": [1]}\n") }
  }

  @Test func numbersAreNamesFirstAndPlacesThen() throws {
    let row = DataRow(file: "f", number: 1, value: .null)
    let numbered = LabelSet(["5", "1"])
    #expect(try numbered.place(of: .int(1), in: row) == 1)
    #expect(try LabelSet(["no", "yes"]).place(of: .int(1), in: row) == 1)
    #expect(throws: Diagnostic.self) { try LabelSet(["no", "yes"]).place(of: .int(2), in: row) }
    #expect(throws: Diagnostic.self) { try numbered.place(of: .string("2"), in: row) }
  }
}
