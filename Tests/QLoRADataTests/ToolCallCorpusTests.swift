// The committed data set is what its README promises.
import QLoRAJSON
import TestSupport
import Testing
import ToolCallCorpus

struct ToolCallCorpusTests {
  @Test func committedFilesAreAsPromised() throws {
    var files: [Split: String] = [:]
    for split in Split.allCases {
      let url = Goldens.repository.appending(
        path: "Datasets/tool-calls/\(split.rawValue).jsonl")
      files[split] = try String(contentsOf: url, encoding: .utf8)
    }
    #expect(Corpus.problems(files: files) == [])
  }

  @Test(arguments: Split.allCases)
  func choicesAreWhatTheGeneratorWrites(split: Split) throws {
    let url = Goldens.repository.appending(path: "Datasets/tool-choice/\(split.rawValue).jsonl")
    #expect(try String(contentsOf: url, encoding: .utf8) == Corpus.choiceText(split))
  }

  @Test func aChangedFileIsNoticed() {
    var files: [Split: String] = [:]
    for split in Split.allCases { files[split] = Corpus.text(Corpus.rows(split), split) }
    files[.test]?.append("\n")
    files[.train] = nil
    #expect(
      Set(Corpus.fileProblems(files))
        == ["train.jsonl is missing", "test.jsonl is not what the generator writes"])
  }

  @Test func nearestRowBaseline() {
    let train = Corpus.rows(.train)
    #expect(Corpus.nearestRowExactMatch(train: train, test: Corpus.rows(.test)) < 0.1)
    // The measure itself can find a row: each training row is nearest to itself.
    #expect(Corpus.nearestRowExactMatch(train: train, test: Array(train.prefix(50))) > 0.9)
  }

  @Test func seedsDecideTheRows() {
    #expect(Corpus.rows(.validation) == Corpus.rows(.validation))
    #expect(Corpus.rows(.validation, seed: 1) != Corpus.rows(.validation, seed: 2))
  }
}
