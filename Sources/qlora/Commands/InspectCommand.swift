// `qlora inspect`: what is in a model, an adapter or a checkpoint.
import ArgumentParser
import QLoRAHub
import QLoRAJSON
import QLoRAPipeline

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Shows the tensors, dtypes and sizes of a model, adapter, checkpoint or GGUF file.",
    discussion: """
      Checkpoints, and adapters and models that qlora wrote, have a MANIFEST.json.

      Example:
        qlora inspect Models/SmolLM2-135M-Instruct.Q4_1.gguf
        qlora inspect runs/tool-calls/adapter --json
      """)

  @Argument(help: "A model folder, adapter, checkpoint, safetensors or GGUF file.")
  var path: String

  @Flag(
    help: ArgumentHelp(
      "Reads every byte: that no weight is NaN, and, where a MANIFEST.json lies in the folder, "
        + "that each file has the digest that it was written with."))
  var verify = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    let report = try Pipeline.inspect(path: HubCache.place(of: path), verify: verify)
    output.json ? Console.output(json: json(report)) : show(report)
  }

  private func json(_ report: InspectionReport) -> JSONValue {
    let tensors = report.tensors.map { tensor in
      JSONValue.dictionary([
        ("name", .string(tensor.name)), ("dtype", .string(tensor.dtype)),
        ("shape", .list(tensor.shape.map { .int($0) })), ("bytes", .int(tensor.bytes)),
      ])
    }
    return .dictionary(
      [("kind", .string(report.kind))] + report.facts.map { ($0.name, $0.value) }
        + [("tensors", .list(tensors))])
  }

  private func show(_ report: InspectionReport) {
    Console.output(report.kind)
    let width = report.facts.map(\.name.count).max() ?? 0
    for (name, value) in report.facts {
      let text = value.stringValue ?? JSONWriter.text(value, style: .spaced)
      Console.output("  \(Table.pad(name, width))  \(text)")
    }
    Console.output(
      Table.text(
        ["tensor", "dtype", "shape", "bytes"],
        report.tensors.map {
          [$0.name, $0.dtype, $0.shape.map(String.init).joined(separator: "×"), "\($0.bytes)"]
        }))
  }
}
