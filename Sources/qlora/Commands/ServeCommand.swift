// `qlora serve`: a model and its adapters behind OpenAI's HTTP interface.
import ArgumentParser
import QLoRADiagnostics
import QLoRAPipeline
import QLoRAServing

struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serves a model and its adapters as OpenAI's HTTP interface.",
    discussion: """
      Clients choose the base by the name of its file or folder and adapters by theirs. Prints \
      the address; Ctrl-C ends it. /v1/chat/completions, /v1/completions, /v1/models and /health \
      are answered, to this machine alone unless --host says otherwise.

      Example:
        qlora serve --model Models/SmolLM2-135M-Instruct.Q4_1.gguf \\
          --adapter tools=runs/tool-calls/adapter
      """)

  @Option(help: "The base model: a folder with config.json and safetensors, or a GGUF file.")
  var model: String

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A PEFT adapter folder and the name it is asked for by. May be repeated.",
      valueName: "name=path"))
  var adapter: [String] = []

  @OptionGroup var held: HeldModelOptions

  @Option(help: "The address of this machine to be reached at; 0.0.0.0 means all.")
  var host = "127.0.0.1"

  @Option(parsing: .unconditional, help: "The port; 0 takes any that is free.")
  var port: UInt16 = 8080

  @Option(help: "What clients must send as their key.")
  var apiKey: String?

  @Option(parsing: .unconditional, help: "How many requests may wait; more are refused.")
  var queue = 16

  func validate() throws {
    if apiKey == "" { throw ValidationError("--api-key must not be empty.") }
    if queue < 1 { throw ValidationError("--queue must be at least 1.") }
  }

  func run() throws {
    let stop = TrainingRun.stopOnSignals()
    let model = try Pipeline.loadSwitched(
      held.values(model: model), adapter.map(NamedAdapter.init))
    let isLocal = LocalServer.isLoopback(host)
    if !isLocal, apiKey == nil {
      Console.error("warning: \(host) may be open to the network, and there is no --api-key")
    }
    let server = ModelServer(
      ServedText(model), queue: JobQueue(capacity: queue), key: apiKey, isLocal: isLocal)
    let shown = host.contains(":") ? "[\(host)]" : host
    try LocalServer(host: host, port: port, answer: server.answer).run(
      ready: { Console.output("http://\(shown):\($0)/v1") }, until: { stop() != nil },
      meanwhile: { isOver in try server.work(with: model) { isOver() || stop() != nil } })
  }
}
