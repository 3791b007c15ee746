// `qlora latents`: pictures and captions become the files that training on images reads.
import ArgumentParser
import QLoRAHub
import QLoRAJSON
import QLoRAPipeline

struct LatentsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "latents",
    abstract: "Encodes pictures and captions for training on images.",
    discussion: """
      The folder holds pictures, NAME.png, NAME.jpg or NAME.webp, beside NAME.txt, the caption; \
      NAME.safetensors of the output is what a recipe's data takes with the format latents. Sides \
      are cut to multiples of 16 pixels, in the middle. Files that are there already stay, so that \
      a run that was stopped goes on. Text encoders and encoder of latents are in memory one after \
      the other.

      Example:
        qlora latents --model Models/FLUX.1-dev --pictures my-pictures --side 1024 \\
          --output my-latents --quantization nf4
      """)

  @Option(help: "The folder of a pipeline, or ORG/NAME of the hub, once downloaded.")
  var model: String

  @Option(
    help: ArgumentHelp("PNG, JPEG and WebP files, each with its caption.", valueName: "folder"))
  var pictures: String

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Scales each picture so that its shorter side has this size; as it is if not given.",
      valueName: "pixels"))
  var side: Int?

  @Option(help: ArgumentHelp("Where to write.", valueName: "folder"))
  var output: String

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Tokens of a caption that T5 sees.", valueName: "count"))
  var maxTokens: Int?

  @Option(
    help: ArgumentHelp("nf4, fp4, int8 or none, of T5; none if not given.", valueName: "type"))
  var quantization: String?

  @Option(
    help: ArgumentHelp("bfloat16, float16 or float32; bfloat16 if not given.", valueName: "type"))
  var computeDtype: String?

  @Option(parsing: .unconditional, help: "Threads to compute with; 0 means all cores.")
  var threads = 0

  @Flag(help: "Prints one JSON object instead of lines for people.")
  var json = false

  func validate() throws {
    if let side, !(16...16_384).contains(side) {
      throw ValidationError("--side must be 16 to 16384 pixels.")
    }
    if let maxTokens, !(1...65_536).contains(maxTokens) {
      throw ValidationError("--max-tokens must be 1 to 65536.")
    }
    try HeldModelOptions.check(
      quantization: quantization, computeDtype: computeDtype, threads: threads)
  }

  func run() throws {
    let request = LatentRequest(
      model: try HubCache.place(of: model), pictures: pictures, side: side,
      output: output, quantization: quantization, computeDType: computeDtype,
      maxTokens: maxTokens, threads: threads)
    let status = StatusLine()
    let (written, kept) = try Pipeline.cacheLatents(request) { progress in
      switch progress {
      case .loading(let part, let fraction):
        status.show("loading \(part): \(Int(fraction * 100)) %")
      case .step(let step, let count): status.show("picture \(step) of \(count)")
      }
    }
    status.clear()
    if json {
      Console.output(
        json: .dictionary([
          ("output", .string(output)), ("written", .int(written)), ("kept", .int(kept)),
        ]))
    } else {
      Console.error("\(output): \(written) files written, \(kept) were there already")
    }
  }
}
