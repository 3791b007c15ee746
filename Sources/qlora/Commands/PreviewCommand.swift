// `qlora preview`: the rows as the model will see them.
import ArgumentParser
import QLoRAJSON
import QLoRAPipeline

struct PreviewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preview",
    abstract: "Shows the sequences of a run in training order; writes nothing.",
    discussion: """
      Trained tokens stand in [brackets], or in green on a terminal; a bar marks where a packed \
      row begins.

      Example:
        qlora preview Recipes/smollm2-135m-qlora-tool-calls.json -n 2
      """)

  @OptionGroup var recipe: RecipeOptions
  @OptionGroup var output: OutputOptions

  @Option(name: .customShort("n"), help: "How many sequences.")
  var count = 3

  func validate() throws {
    if count < 1 { throw ValidationError("-n must be at least 1.") }
  }

  func run() throws {
    let resolved = try recipe.load()
    let colors = Console.stdoutIsTerminal && Console.wantsColor
    try Pipeline.preview(resolved, count: count) { sequence in
      if output.json {
        Console.output(json: json(sequence))
      } else {
        Console.output(text(sequence, colors: colors))
      }
    }
  }

  private func json(_ sequence: PreviewSequence) -> JSONValue {
    func integers(_ values: [Int]) -> JSONValue { .list(values.map { .int($0) }) }
    return .dictionary([
      ("step", .int(sequence.step)), ("microBatch", .int(sequence.microBatch)),
      ("sequence", .int(sequence.sequence)), ("tokens", integers(sequence.tokens)),
      ("labels", integers(sequence.labels)), ("starts", integers(sequence.starts)),
    ])
  }

  private func text(_ sequence: PreviewSequence, colors: Bool) -> String {
    let trained = sequence.labels.count { $0 != -100 }
    var text =
      "step \(sequence.step), micro-batch \(sequence.microBatch), sequence \(sequence.sequence): "
      + "\(sequence.tokens.count) tokens, \(trained) trained, \(sequence.starts.count) rows\n"
    let starts = Set(sequence.starts)
    var isOpen = false
    for (index, piece) in sequence.pieces.enumerated() {
      let isTrained = sequence.labels[index] != -100
      if isTrained != isOpen { text += mark(opens: isTrained, colors) }
      isOpen = isTrained
      if starts.contains(index), index > 0 { text += "\n│ " }
      text += piece
    }
    return text + (isOpen ? mark(opens: false, colors) : "") + "\n"
  }

  private func mark(opens: Bool, _ colors: Bool) -> String {
    colors ? (opens ? "\u{1B}[32m" : "\u{1B}[0m") : (opens ? "[" : "]")
  }
}
