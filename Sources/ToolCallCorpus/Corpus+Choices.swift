// The same requests with nothing but the tool's name: classes for a classifier, and pairs of texts
// for a model that reads one and writes another.
import QLoRAJSON

extension Split {
  /// Rows of the smaller data set, from the front of the larger one's.
  var choiceCount: Int { self == .train ? 700 : 140 }
}

extension Corpus {
  /// The bytes of a committed file of `Datasets/tool-choice`: one JSON object a line.
  public static func choiceText(_ split: Split) -> String {
    rows(split).prefix(split.choiceCount).map { row in
      JSONWriter.text(
        .dictionary([
          ("text", .string(row.user)), ("label", .string(row.tool)),
          ("prompt", .string(row.user)),
          ("completion", .string(row.tool.replacing("_", with: " "))),
        ])) + "\n"
    }.joined()
  }
}
