// `qlora download`: a model or data set of the hub, fetched into the cache that programs share.
import ArgumentParser
import QLoRADiagnostics
import QLoRAHub
import QLoRAJSON
import QLoRAPipeline
import QLoRASystem

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct DownloadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "download",
    abstract: "Fetches a model or data set from the Hugging Face hub into its cache.",
    discussion: """
      Afterwards ORG/NAME is a model for every command, without a network. What is complete in \
      the cache is not asked for again, unless --refresh says so. Interrupted downloads go on \
      where they stopped, and every file is checked against its digest. Without --include those \
      files come that qlora reads; pickles never.

      The variables are those of the hub's own libraries: HF_HOME, HF_HUB_CACHE, HF_TOKEN, \
      HF_ENDPOINT, HF_HUB_OFFLINE.

      Example:
        qlora download HuggingFaceTB/SmolLM2-135M-Instruct
        qlora download ORG/NAME-GGUF --include '*Q4_K_M.gguf'
        qlora download ORG/ROWS --dataset --include 'data/*.parquet'
      """)

  @Argument(help: "ORG/NAME, or ORG/NAME@REVISION.")
  var id: String

  @Option(
    help: ArgumentHelp("A branch, tag or commit. (default: main)", valueName: "revision"))
  var revision: String?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Fetches what matches, such as '*.gguf'; may be repeated.", valueName: "pattern"))
  var include: [String] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Leaves out what matches; may be repeated.", valueName: "pattern"))
  var exclude: [String] = []

  @Flag(help: "It is a data set.")
  var dataset = false

  @Flag(help: "Asks the server what is new, though all of it is in the cache.")
  var refresh = false

  @OptionGroup var output: OutputOptions

  func run() throws {
    let environment = ProcessInfo.processInfo.environment
    let reference = try HubReference(
      argument: id, kind: dataset ? .dataset : .model, revision: revision)
    let settings = try HubSettings(environment: environment)
    guard let cache = HubCache(environment: environment) else {
      throw Diagnostic(
        .hubSettingInvalid, "no variable says where the cache is",
        remedy: "set HF_HOME or HF_HUB_CACHE to a folder")
    }
    let choice = FileChoice(
      include: include + (reference.file.map { [$0] } ?? []), exclude: exclude)
    let isAsked = TrainingRun.stopOnSignals()
    let progress = DownloadProgress(isQuiet: output.json)
    let download = HubDownload(
      reference, into: cache, settings, choice: choice, refreshes: refresh,
      client: { () throws(Diagnostic) in
        try HubClient(
          settings, agent: "qlora/\(ToolVersion.number)", isStopped: { isAsked() != nil })
      }, events: { progress.show($0) })
    defer { progress.clear() }
    let report = try download.run()
    progress.clear()
    if output.json {
      Console.output(json: json(report))
    } else {
      progress.finish(report)
      Console.output(report.path)
    }
  }

  private func json(_ report: HubReport) -> JSONValue {
    let files = report.files.map { file in
      JSONValue.dictionary([
        ("name", .string(file.name)), ("bytes", .int(file.byteCount)),
        ("digest", file.digest.map { .string($0) } ?? .null),
        ("fetchedBytes", .int(file.fetchedBytes)),
      ])
    }
    return .dictionary([
      ("id", .string(report.reference.id)), ("kind", .string(report.reference.kind.rawValue)),
      ("revision", .string(report.reference.revision)), ("commit", .string(report.commit)),
      ("path", .string(report.path)), ("askedServer", .bool(report.askedServer)),
      ("files", .list(files)),
    ])
  }
}
