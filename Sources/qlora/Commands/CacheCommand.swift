// `qlora cache`: what is kept of quantized bases and of the hub, whether it is intact, and room for
// more.
import ArgumentParser
import QLoRADiagnostics
import QLoRAHub
import QLoRAJSON
import QLoRAPipeline
import QLoRAReport

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct CacheCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cache",
    abstract: "Lists, checks or removes what is kept: quantized bases, and downloads of the hub.",
    discussion: """
      Quantized bases lie in QLORA_CACHE, else XDG_CACHE_HOME/qlora, else ~/.cache/qlora; \
      QLORA_CACHE=off keeps none. QLORA_CACHE_LIMIT (20GiB) bounds them all together. Downloads \
      lie in HF_HUB_CACHE, else HF_HOME/hub, which other programs share; `prune` leaves them.

      Example:
        qlora cache ls
        qlora cache prune --to 2GiB
      """,
    subcommands: [List.self, Verify.self, Prune.self], defaultSubcommand: List.self)

  /// The cache of this user.
  private static func cache() throws -> WeightCache? {
    try BaseCache.standard { Console.error("warning: \($0)") }
  }

  /// The hub's cache of this user.
  private static var hub: HubCache? {
    HubCache(environment: ProcessInfo.processInfo.environment)
  }

  private static func columns(_ repository: HubRepository) -> [String] {
    [
      repository.kind.rawValue, repository.id, "", "", ProgressText.size(repository.byteCount),
    ]
  }

  private static func json(_ repository: HubRepository, _ more: [(String, JSONValue)] = []) {
    Console.output(
      json: .dictionary(
        [
          ("kind", .string(repository.kind.rawValue)), ("name", .string(repository.id)),
          ("path", .string(repository.path)), ("model", .string(repository.id)),
          ("options", .null), ("bytes", .int(repository.byteCount)),
          ("lastUsed", .int(repository.changed / 1_000_000_000)),
          ("commits", .list(repository.commits.map { .string($0) })),
        ] + more))
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
          ("kind", "base"), ("name", .string(entry.name)), ("path", .string(entry.path)),
          ("model", entry.fact("model") ?? .null), ("options", entry.fact("options") ?? .null),
          ("bytes", .int(entry.byteCount)), ("lastUsed", .int(entry.lastUsed / 1_000_000_000)),
        ] + more))
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ls",
      abstract: "Lists the kept bases, the one longest unused first, then downloads.",
      discussion: "Example:\n  qlora cache ls")

    @OptionGroup var output: OutputOptions

    func run() throws {
      let entries = try CacheCommand.cache()?.entries() ?? []
      let repositories = CacheCommand.hub?.repositories() ?? []
      if output.json {
        for entry in entries { CacheCommand.json(entry) }
        for repository in repositories { CacheCommand.json(repository) }
      } else {
        Console.output(
          Table.text(
            ["name", "model", "quantization", "compute", "size"],
            entries.map { CacheCommand.columns($0) }
              + repositories.map { CacheCommand.columns($0) }))
      }
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "verify",
      abstract: "Checks every byte of what is kept; 65 where something is damaged.",
      discussion: """
        A damaged base does no harm: it is found before it is used, and made anew. A damaged \
        download has to be fetched again.

        Example:
          qlora cache verify
        """)

    @OptionGroup var output: OutputOptions

    func run() throws {
      var damages: [Diagnostic] = []
      if let cache = try CacheCommand.cache() { damages += check(cache) }
      for repository in CacheCommand.hub?.repositories() ?? [] {
        let found = CacheCommand.hub?.damages(of: repository) ?? []
        if output.json {
          CacheCommand.json(repository, [("isIntact", .bool(found.isEmpty))])
        } else if found.isEmpty {
          Console.output("\(repository.kind.rawValue) \(repository.id)  intact")
        }
        damages += found
      }
      if !damages.isEmpty { throw Diagnostics(damages) }
    }

    private func check(_ cache: WeightCache) -> [Diagnostic] {
      var damages: [Diagnostic] = []
      for entry in cache.entries() {
        var damage: Diagnostic?
        do { try cache.verify(entry) } catch {
          let found = error as? Diagnostic
          let remedy = "it is made anew when it is needed"
          damage = Diagnostic(
            .cacheEntryDamaged, found?.message ?? "\(error)", at: found?.location, remedy: remedy)
        }
        if output.json {
          CacheCommand.json(entry, [("isIntact", .bool(damage == nil))])
        } else if damage == nil {
          Console.output("\(entry.name)  intact")
        }
        if let damage { damages.append(damage) }
      }
      return damages
    }
  }

  struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "prune",
      abstract: "Removes kept bases, the longest unused first, until the rest is small enough.",
      discussion: """
        Without --to or --all it enforces QLORA_CACHE_LIMIT and removes what killed runs left. \
        With --hub it removes parts of broken-off downloads instead; whole ones belong to other \
        programs, too, and stay.

        Example:
          qlora cache prune --all
        """)

    @Option(help: "Bytes to leave at most, such as 2GiB.")
    var to: String?

    @Flag(help: "Removes all of them.")
    var all = false

    @Flag(help: "Removes parts of broken-off downloads, and no bases.")
    var hub = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
      if all, to != nil { throw ValidationError("--all and --to exclude each other.") }
      if hub, all || to != nil { throw ValidationError("--hub goes without --all and --to.") }
      if let to, WeightCache.byteCount(to) == nil {
        throw ValidationError("--to must be a size such as 2GiB, found \"\(to)\".")
      }
    }

    func run() throws {
      if hub { return try removeParts() }
      guard let cache = try CacheCommand.cache() else { return }
      let limit = all ? 0 : to.flatMap(WeightCache.byteCount) ?? cache.byteLimit
      for entry in cache.prune(to: limit) {
        output.json
          ? CacheCommand.json(entry) : Console.output("removed \(entry.name)")
      }
    }

    private func removeParts() throws {
      guard let cache = CacheCommand.hub else { return }
      for repository in cache.repositories() {
        for path in try cache.removeParts(of: repository) {
          output.json
            ? Console.output(json: .dictionary([("path", .string(path))]))
            : Console.output("removed \(path)")
        }
      }
    }
  }
}
