// `qlora classify`: which class texts are of, by a model that was trained to tell classes apart.
import ArgumentParser
import QLoRAHub
import QLoRAJSON
import QLoRAPipeline

struct ClassifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "classify",
    abstract: "Tells which class texts are of.",
    discussion: """
      The model is a base with an adapter that was trained with "task": "classification", or a \
      folder that such an adapter was merged into. Without --text and --data each line of stdin is \
      a text. Each line of the output is a label and its probability; with --json, of every label.

      Example:
        qlora classify --model Models/bert-base-uncased --adapter runs/reviews/adapter \\
          --text "A film to forget."
      """)

  @OptionGroup var base: BaseModelOptions
  @OptionGroup var output: OutputOptions

  @Option(help: "A text; may be given several times.")
  var text: [String] = []

  @Option(help: ArgumentHelp("The second text of a pair, for one --text.", valueName: "text"))
  var pair: String?

  @Option(
    help: ArgumentHelp(
      "A file of rows with \"text\", and \"text_pair\" where there are two.", valueName: "file"))
  var data: String?

  func validate() throws {
    if data != nil, !text.isEmpty {
      throw ValidationError("--data and --text exclude each other.")
    }
    if pair != nil, text.count != 1 { throw ValidationError("--pair needs one --text.") }
  }

  func run() throws {
    let classifier = try LoadedClassifier.load(try base.values())
    if let data {
      return try Pipeline.classify(classifier, file: try HubCache.place(of: data), emit: show)
    }
    if !text.isEmpty {
      return try Pipeline.classify(classifier, text.map { ($0, pair) }).forEach(show)
    }
    var number = 1
    while let line = readLine() {
      if line.isEmpty { continue }
      try Pipeline.classify(classifier, [(line, nil)], from: number).forEach(show)
      number += 1
    }
  }

  private func show(_ found: Classification) {
    guard output.json else {
      let probability = found.probabilities.first { $0.label == found.label }?.probability ?? 0
      return Console.output("\(found.label)\t\(rounded(probability))")
    }
    let all = found.probabilities.map { ($0.label, JSONValue.double($0.probability)) }
    Console.output(
      json: .dictionary([
        ("row", .int(found.number)), ("label", .string(found.label)),
        ("probabilities", .dictionary(all)),
      ]))
  }

  /// Four digits behind the point say all that a person asks for.
  private func rounded(_ probability: Double) -> String {
    let digits = String(10_000 + Int((probability * 10_000).rounded()))
    return "\(digits.first == "2" ? "1" : "0").\(digits.dropFirst())"
  }
}
