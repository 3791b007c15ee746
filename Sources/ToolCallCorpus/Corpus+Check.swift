// Proves what Datasets/tool-calls/README.md promises of the committed files.
import QLoRAJSON

extension Corpus {
  /// What is wrong with the committed files; empty where all is as promised.
  ///
  /// - Parameter files: the text of each file as found.
  public static func problems(files: [Split: String]) -> [String] {
    // Equal bytes carry every property of the rows over to the files.
    fileProblems(files) + rowProblems()
  }

  /// Files that are missing or differ from what the generator writes.
  public static func fileProblems(_ files: [Split: String]) -> [String] {
    Split.allCases.compactMap { split in
      guard let found = files[split] else { return "\(split.rawValue).jsonl is missing" }
      return found.utf8.elementsEqual(text(rows(split), split).utf8)
        ? nil : "\(split.rawValue).jsonl is not what the generator writes"
    }
  }

  private static func rowProblems() -> [String] {
    var problems = catalogueProblems()
    let train = rows(.train)
    let validation = rows(.validation)
    let test = rows(.test)
    problems += countProblems(train, validation, test)
    problems += phrasingProblems(train + validation, test)
    problems += sharingProblems(train + validation, test)
    problems += answerProblems(train + validation + test)
    let baseline = nearestRowExactMatch(train: train, test: test)
    if baseline >= 0.1 { problems.append("the nearest-row baseline reaches \(baseline)") }
    return problems
  }

  private static func catalogueProblems() -> [String] {
    var problems: [String] = []
    if Tool.all.count < 12 { problems.append("only \(Tool.all.count) tools") }
    for tool in Tool.all {
      let all = tool.known + tool.unknown
      if Set(all).count < 8 || Set(all).count != all.count || tool.unknown.count < 2 {
        problems.append("\(tool.name) needs 8 different phrasings, 2 of them for the test alone")
      }
    }
    return problems
  }

  private static func countProblems(
    _ train: [CorpusRow], _ validation: [CorpusRow], _ test: [CorpusRow]
  ) -> [String] {
    var problems: [String] = []
    if train.count < 2000 || validation.count < 200 || test.count < 200 {
      problems.append("too few rows: \(train.count), \(validation.count), \(test.count)")
    }
    let unknown = test.count { !$0.isKnownPhrasing }
    if abs(2 * unknown - test.count) > Tool.all.count {
      problems.append("\(unknown) of \(test.count) test rows have an unknown phrasing")
    }
    return problems
  }

  /// Every known phrasing occurs in training, and no unknown one outside of the test rows.
  private static func phrasingProblems(_ seen: [CorpusRow], _ test: [CorpusRow]) -> [String] {
    let trained = Set(seen.map(\.phrasing))
    let tested = Set(test.map(\.phrasing))
    return Tool.all.flatMap { tool in
      tool.known.filter { !trained.contains($0) }.map { "never trained: \($0)" }
        + tool.unknown.filter { trained.contains($0) }.map { "trained, though unknown: \($0)" }
        + tool.unknown.filter { !tested.contains($0) }.map { "never tested: \($0)" }
    }
  }

  /// No value of a test row stands in another file's row, and of a name, a place or a thing not
  /// even a word does.
  private static func sharingProblems(_ seen: [CorpusRow], _ test: [CorpusRow]) -> [String] {
    let requests = seen.map { words($0.user) }
    var rowsWithWord: [String: [Int]] = [:]
    for (row, request) in requests.enumerated() {
      for word in Set(request) { rowsWithWord[word, default: []].append(row) }
    }
    var problems: [String] = []
    for value in Set(test.flatMap(\.openValues)) {
      let parts = words(value.text)
      let rarest = parts.map { rowsWithWord[$0] ?? [] }.min { $0.count < $1.count } ?? []
      let isSeen = rarest.contains { row in
        requests[row].indices.contains { requests[row][$0...].starts(with: parts) }
      }
      if isSeen {
        problems.append("\(value.pool) \"\(value.text)\" of the test is in training")
      }
      guard value.pool.isNamePlaceOrItem else { continue }
      for part in parts where part != "the" && rowsWithWord[part] != nil {
        problems.append("\"\(part)\" of the test's \(value.pool) \"\(value.text)\" is in training")
      }
    }
    return problems.sorted()
  }

  /// Each answer is the compact JSON of one call, holds what was drawn, and each row at least one
  /// value that no other split knows.
  private static func answerProblems(_ rows: [CorpusRow]) -> [String] {
    rows.compactMap { row in
      guard let call = try? JSONValue(parsing: row.answer), JSONWriter.text(call) == row.answer,
        call["tool"]?.stringValue == row.tool, call["arguments"]?.objectMembers != nil
      else { return "not a compact call: \(row.answer)" }
      let isCopied = row.openValues.allSatisfy { row.user.contains($0.text) }
      return row.openValues.isEmpty || !isCopied ? "nothing to copy: \(row.user)" : nil
    }
  }

  /// Lower-case runs of letters, digits and apostrophes.
  static func words(_ text: String) -> [String] {
    text.lowercased().split { !$0.isLetter && !$0.isNumber && $0 != "'" }.map(String.init)
  }
}
