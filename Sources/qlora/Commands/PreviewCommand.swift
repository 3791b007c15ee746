// `qlora preview`: the rows as the model will see them.
import ArgumentParser
import QLoRAJSON
import QLoRAData
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
    try Pipeline.preview(resolved, count: count) { line, text in
      if output.json {
        Console.output(json: line.json)
      } else {
        Console.output(self.text(line, text, colors: colors))
      }
    }
  }

  private func text(_ line: PreviewLine, _ model: ModelText, colors: Bool) -> String {
    let content = line.content
    let trained = content.labels.count { $0 != untrainedLabel }
    var text =
      "step \(line.step), micro-batch \(line.microBatch), sequence \(line.sequence): "
      + "\(content.tokens.count) tokens, \(trained) trained, \(content.starts.count) rows\n"
    let starts = Set(content.starts)
    var decoder = model.tokenizer.makeStreamingDecoder()
    var isOpen = false
    for (index, token) in content.tokens.enumerated() {
      let isTrained = content.labels[index] != untrainedLabel
      if isTrained != isOpen { text += mark(opens: isTrained, colors) }
      isOpen = isTrained
      if starts.contains(index), index > 0 { text += "\n│ " }
      text += decoder.append(token)
    }
    return text + decoder.finish() + (isOpen ? mark(opens: false, colors) : "") + "\n"
  }

  private func mark(opens: Bool, _ colors: Bool) -> String {
    colors ? (opens ? "\u{1B}[32m" : "\u{1B}[0m") : (opens ? "[" : "]")
  }
}
