// Writes, checks and measures the tool-calls data set: a thin command over ToolCallCorpus.
import ToolCallCorpus

#if canImport(FoundationEssentials)
  import FoundationEssentials
  import Glibc
#else
  import Foundation
#endif

let usage = """
  usage: make-tool-calls [--output DIR]   write train.jsonl, validation.jsonl and test.jsonl
         make-tool-calls --check [DIR]    prove the committed files to be as promised
         make-tool-calls --baseline       exact match of the nearest training row
         make-tool-calls --choices        write the same requests with their tools' names alone
  DIR is Datasets/tool-calls unless given.
  """

func path(_ folder: String, _ split: Split) -> String { "\(folder)/\(split.rawValue).jsonl" }

func write(to folder: String) throws {
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  for split in Split.allCases {
    let rows = Corpus.rows(split)
    try Data(Corpus.text(rows, split).utf8).write(to: URL(filePath: path(folder, split)))
    print("\(path(folder, split)): \(rows.count) rows")
  }
}

/// Requests with the names of their tools, for other tasks.
func writeChoices(to folder: String) throws {
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  for split in Split.allCases {
    try Data(Corpus.choiceText(split).utf8).write(to: URL(filePath: path(folder, split)))
  }
}

/// - Returns: whether all is as promised.
func check(_ folder: String) -> Bool {
  var files: [Split: String] = [:]
  for split in Split.allCases {
    files[split] = FileManager.default.contents(atPath: path(folder, split)).map {
      String(decoding: $0, as: UTF8.self)
    }
  }
  let problems = Corpus.problems(files: files)
  for problem in problems { print(problem) }
  if problems.isEmpty { print("\(folder): as promised") }
  return problems.isEmpty
}

let arguments = Array(CommandLine.arguments.dropFirst())
let folder = arguments.count > 1 ? arguments[1] : "Datasets/tool-calls"
switch (arguments.first, arguments.count) {
case (nil, _), ("--output", 2): try write(to: folder)
case ("--check", ...2): exit(check(folder) ? 0 : 1)
case ("--choices", 1): try writeChoices(to: "Datasets/tool-choice")
case ("--baseline", 1):
  print(
    "nearestRowExactMatch "
      + "\(Corpus.nearestRowExactMatch(train: Corpus.rows(.train), test: Corpus.rows(.test)))")
default:
  print(usage)
  exit(arguments == ["--help"] ? 0 : 64)
}
