// `qlora cache`: what is kept of quantized bases, whether it is intact, and room for more.
import ArgumentParser
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline
import QLoRAReport

struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache",
    abstract: "Lists, checks or removes the quantized bases that are kept between runs.",
    discussion: """
      They lie in QLORA_CACHE, else XDG_CACHE_HOME/qlora, else ~/.cache/qlora; QLORA_CACHE=off \
      keeps none. QLORA_CACHE_LIMIT (20GiB) bounds them all together.

      Example:
        qlora cache ls
        qlora cache prune --to 2GiB
      """,
    subcommands: [List.self, Verify.self, Prune.self], defaultSubcommand: List.self)

  /// The cache of this user.
  private static func cache() throws -> WeightCache? {
    try BaseCache.standard { Console.error("warning: \($0)") }
  }

  private static func columns(_ entry: WeightCacheEntry) -> [String] {
    let options = entry.fact("options")
    let quantization = options?["quantization"]
    return [
      entry.name, entry.fact("model")?.stringValue ?? "damaged",
      quantization?["type"]?.stringValue ?? "", options?["computeDType"]?.stringValue ?? "",
      ProgressText.size(entry.byteCount),
    ]
  }

  private static func json(_ entry: WeightCacheEntry, _ more: [(String, JSONValue)] = []) {
    Console.output(
      json: .dictionary(
        [
          ("name", .string(entry.name)), ("path", .string(entry.path)),
          ("model", entry.fact("model") ?? .null), ("options", entry.fact("options") ?? .null),
          ("bytes", .int(entry.byteCount)), ("lastUsed", .int(entry.lastUsed / 1_000_000_000)),
        ] + more))
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ls", abstract: "Lists the kept bases, the one longest unused first.",
      discussion: "Example:\n  qlora cache ls")

    @OptionGroup var output: OutputOptions

    func run() throws {
      let entries = try CacheCommand.cache()?.entries() ?? []
      if output.json {
        for entry in entries { CacheCommand.json(entry) }
      } else {
        Console.output(
          Table.text(
            ["name", "model", "quantization", "compute", "size"],
            entries.map(CacheCommand.columns)))
      }
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "verify",
      abstract: "Checks every byte of the kept bases; 65 where one is damaged.",
      discussion: """
        A damaged base does no harm: it is found before it is used, and made anew.

        Example:
          qlora cache verify
        """)

    @OptionGroup var output: OutputOptions

    func run() throws {
      guard let cache = try CacheCommand.cache() else { return }
      var damages: [Diagnostic] = []
      for entry in cache.entries() {
        var damage: Diagnostic?
        do { try cache.verify(entry) } catch let found as Diagnostic {
          let remedy = "it is made anew when it is needed"
          damage = Diagnostic(
            .cacheEntryDamaged, found.message, at: found.location, remedy: remedy)
        }
        if output.json {
          CacheCommand.json(entry, [("isIntact", .bool(damage == nil))])
        } else if damage == nil {
          Console.output("\(entry.name)  intact")
        }
        if let damage { damages.append(damage) }
      }
      if !damages.isEmpty { throw Diagnostics(damages) }
    }
  }

  struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "prune",
      abstract: "Removes kept bases, the longest unused first, until the rest is small enough.",
      discussion: """
        Without --to or --all it enforces QLORA_CACHE_LIMIT and removes what killed runs left.

        Example:
          qlora cache prune --all
        """)

    @Option(help: "Bytes to leave at most, such as 2GiB.")
    var to: String?

    @Flag(help: "Removes all of them.")
    var all = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
      if all, to != nil { throw ValidationError("--all and --to exclude each other.") }
      if let to, WeightCache.byteCount(to) == nil {
        throw ValidationError("--to must be a size such as 2GiB, found \"\(to)\".")
      }
    }

    func run() throws {
      guard let cache = try CacheCommand.cache() else { return }
      let limit = all ? 0 : to.flatMap(WeightCache.byteCount) ?? cache.byteLimit
      for entry in cache.prune(to: limit) {
        output.json
          ? CacheCommand.json(entry) : Console.output("removed \(entry.name)")
      }
    }
  }
}
