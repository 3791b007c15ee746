// `qlora image`: a prompt becomes a picture.
import ArgumentParser
import QLoRAHub
import QLoRAJSON
import QLoRAPipeline

struct ImageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image",
    abstract: "Makes a picture with FLUX.1 or Stable Diffusion 3, as a PNG file.",
    discussion: """
      The model is the folder of a diffusers pipeline, its parts plain or quantized. Text \
      encoders, transformer and decoder are in memory one after the other.

      Example:
        qlora image --model Models/FLUX.1-dev --prompt "A red bicycle" --output bicycle.png \\
          --quantization nf4 --adapter runs/my-style/adapter
      """)

  @Option(help: "The folder of a pipeline, or ORG/NAME of the hub, once downloaded.")
  var model: String

  @Option(help: "An adapter that `qlora train` made, to apply to the transformer.")
  var adapter: String?

  @Option(help: "What the picture shows.")
  var prompt: String?

  @Option(help: "What it is guided away from; of Stable Diffusion 3 only.")
  var negativePrompt = ""

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Tokens of the prompt that T5 sees.", valueName: "count"))
  var maxTokens: Int?

  @Option(
    help: ArgumentHelp(
      "Instead of --prompt a JSON file with a list of tokens for each tokenizer's folder.",
      valueName: "file"))
  var promptTokens: String?

  @Option(
    help: ArgumentHelp(
      "Instead of --prompt a safetensors file with prompt_embeds and pooled_prompt_embeds.",
      valueName: "file"))
  var embeddings: String?

  @Option(help: "The PNG file to write.")
  var output: String

  @Option(parsing: .unconditional, help: ArgumentHelp("In pixels.", valueName: "pixels"))
  var width = 1024

  @Option(parsing: .unconditional, help: ArgumentHelp("In pixels.", valueName: "pixels"))
  var height = 1024

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Steps from noise to picture.", valueName: "count"))
  var steps = 28

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How strongly the prompt counts; 3.5 for FLUX.1 and 7 for Stable Diffusion 3 if not given.",
      valueName: "factor"))
  var guidance: Double?

  @Option(parsing: .unconditional, help: "The noise to begin with is drawn from it.")
  var seed: UInt64 = 0

  @Option(
    help: ArgumentHelp(
      "A safetensors file whose latents are the noise to begin with.", valueName: "file"))
  var noise: String?

  @Option(
    help: ArgumentHelp(
      "nf4, fp4, int8 or none, of transformer and T5; as the adapter was trained if not given.",
      valueName: "type"))
  var quantization: String?

  @Option(
    help: ArgumentHelp(
      "bfloat16, float16 or float32; as the adapter was trained if not given, else bfloat16.",
      valueName: "type"))
  var computeDtype: String?

  @Option(parsing: .unconditional, help: "Threads to compute with; 0 means all cores.")
  var threads = 0

  @Flag(help: "Prints one JSON object instead of lines for people.")
  var json = false

  func validate() throws {
    let given = [prompt, promptTokens, embeddings].count { $0 != nil }
    if given != 1 {
      throw ValidationError("Give one of --prompt, --prompt-tokens and --embeddings.")
    }
    if !(1...10_000).contains(steps) { throw ValidationError("--steps must be 1 to 10000.") }
    // A side beyond this is no picture that a model was trained for, but a slip.
    let largest = 1 << 14
    if ![width, height].allSatisfy({ (1...largest).contains($0) }) {
      throw ValidationError("--width and --height must be 1 to \(largest).")
    }
    if let guidance, !(0...1000).contains(guidance) {
      throw ValidationError("--guidance must be 0 to 1000.")
    }
    if let maxTokens, !(1...65_536).contains(maxTokens) {
      throw ValidationError("--max-tokens must be 1 to 65536.")
    }
    try HeldModelOptions.check(
      quantization: quantization, computeDtype: computeDtype, threads: threads)
  }

  func run() throws {
    try NewFile.requireAbsent(output)
    let words: ImagePrompt =
      if let promptTokens {
        .tokens(path: promptTokens)
      } else if let embeddings {
        .embeddings(path: embeddings)
      } else {
        .text(prompt ?? "", negative: negativePrompt, maxTokens: maxTokens)
      }
    let request = ImageRequest(
      model: try HubCache.place(of: model), adapter: try adapter.map { try HubCache.place(of: $0) },
      prompt: words, width: width, height: height, steps: steps, guidance: guidance, seed: seed,
      noisePath: noise, quantization: quantization, computeDType: computeDtype, threads: threads)
    let status = StatusLine()
    let bytes = try Pipeline.image(request) { progress in
      switch progress {
      case .loading(let part, let fraction):
        status.show("loading \(part): \(Int(fraction * 100)) %")
      case .step(let step, let count): status.show("step \(step) of \(count)")
      }
    }
    status.clear()
    try NewFile.write(bytes, to: output)
    if json {
      Console.output(
        json: .dictionary([
          ("output", .string(output)), ("width", .int(width)), ("height", .int(height)),
          ("steps", .int(steps)), ("bytes", .int(bytes.count)),
        ]))
    } else {
      Console.error("\(output): \(width) × \(height) pixels in \(steps) steps")
    }
  }
}
