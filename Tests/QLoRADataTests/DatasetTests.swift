// Mixing sources, splitting them, and the fingerprint by which a resume knows its data.
import QLoRAData
import QLoRADiagnostics
import TestSupport
import Testing

struct DatasetTests {
  private func encoder(
    maxTokens: Int = 64, _ overLength: OverLength = .truncate
  ) throws -> RowEncoder {
    RowEncoder(
      tokenizer: try TestVocabulary.tokenizer(), template: nil, maxTokens: maxTokens,
      overLength: overLength)
  }

  private func write(_ folder: TemporaryFolder, _ name: String, _ text: String) throws -> String {
    let path = folder.path(name)
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  @Test func sourcesOneAfterTheOther() throws {
    let folder = try TemporaryFolder()
    let first = try write(folder, "a.jsonl", "{\"text\":\"ab\"}\n{\"text\":\"cd\"}\n")
    let second = try write(folder, "b.json", "[{\"prompt\":\"p\",\"completion\":\"c\"}]")
    let data = try Dataset.load(
      [.init(path: first, format: .text), .init(path: second, format: .promptCompletion)],
      encoder: encoder())
    let rows = try data.rows.all()
    #expect(rows.map(\.source) == [0, 0, 1])
    #expect(rows.map(\.number) == [1, 2, 1])
    #expect(data.report.rows == 3 && data.report.encodedRows == 3 && data.report.tokens == 9)
  }

  @Test func noRowsAreAnError() throws {
    let folder = try TemporaryFolder()
    let empty = try write(folder, "a.jsonl", "\n\n")
    let problem = #expect(throws: Diagnostic.self) {
      try Dataset.load([.init(path: empty, format: .text)], encoder: encoder())
    }
    #expect(problem?.code == .noRows)
    let long = try write(folder, "b.jsonl", "{\"prompt\":\"abc\",\"completion\":\"def\"}")
    let dropped = #expect(throws: Diagnostic.self) {
      try Dataset.load(
        [.init(path: long, format: .promptCompletion)], encoder: encoder(maxTokens: 3, .drop))
    }
    #expect(dropped?.message.contains("dropped") == true)
  }

  @Test func aBadRowIsNamed() throws {
    let folder = try TemporaryFolder()
    let path = try write(folder, "a.jsonl", "{\"text\":\"ab\"}\n{\"txt\":\"cd\"}\n")
    let problem = #expect(throws: Diagnostic.self) {
      try Dataset.load([.init(path: path, format: .text)], encoder: encoder())
    }
    #expect(problem?.location == .row(file: path, row: 2))
  }

  @Test(arguments: [(0.1, 2), (0.001, 1), (1.0, 19), (0.0, 0)])
  func split(_ fraction: Double, _ expected: Int) throws {
    let data = Dataset(rows: EncodedRows(numberedRows(Array(repeating: 3, count: 20))))
    let parts = data.split(validationFraction: fraction, seed: 3)
    let (train, validation) = (try parts.train.all(), try parts.validation.all())
    #expect(validation.count == expected)
    #expect((train + validation).map(\.number).sorted() == Array(1...20))
    #expect(train.map(\.number) == train.map(\.number).sorted())
    #expect(try data.split(validationFraction: fraction, seed: 3).validation.all() == validation)
  }

  @Test func splitKeepsThePiecesOfATextTogether() throws {
    let rows = (0..<30).map { index in
      EncodedRow(tokens: [1, Int32(index)], labels: [1, 1], number: index / 3 + 1)
    }
    let parts = Dataset(rows: EncodedRows(rows)).split(validationFraction: 0.3, seed: 1)
    let (train, validation) = (try parts.train.all(), try parts.validation.all())
    #expect(validation.count == 9)
    #expect(Set(train.map(\.number)).isDisjoint(with: validation.map(\.number)))
  }

  @Test func fingerprintSeesEveryChange() {
    let rows = numberedRows([3, 4, 5])
    var changed: [[EncodedRow]] = [rows, Array(rows.reversed()), Array(rows.dropLast()), []]
    for (row, token) in [(0, 0), (1, 3), (2, 4)] {
      var other = rows
      other[row].tokens[token] += 1
      changed.append(other)
    }
    var masked = rows
    masked[2].labels[1] = untrainedLabel
    changed.append(masked)
    // The same tokens in a row, cut at another place.
    changed.append([
      EncodedRow(tokens: [1, 2], labels: [1, 2]), EncodedRow(tokens: [3], labels: [3]),
    ])
    changed.append([
      EncodedRow(tokens: [1], labels: [1]), EncodedRow(tokens: [2, 3], labels: [2, 3]),
    ])
    #expect(Set(changed.map { DataFingerprint($0) }).count == changed.count)
    #expect(DataFingerprint(rows) == DataFingerprint(numberedRows([3, 4, 5])))
    #expect(DataFingerprint(rows).description.count == 32)
  }
}
