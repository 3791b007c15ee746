// Which files of a repository are fetched: those that qlora reads, or those that a user names.
import QLoRADiagnostics

package struct FileChoice: Sendable {
  /// Patterns of file names; empty: what qlora reads.
  package var include: [String]
  package var exclude: [String]

  package init(include: [String] = [], exclude: [String] = []) {
    self.include = include
    self.exclude = exclude
  }

  /// What a model's folder holds for qlora. No pickles: they run code of others.
  private static let modelPatterns = [
    "*.json", "*.jinja", "*.safetensors", "tokenizer.model", "spiece.model", "vocab.txt",
    "merges.txt", "LICENSE*",
  ]
  /// The same weights once more, in the form of the model's maker.
  private static let modelDoubles = ["consolidated*"]
  private static let datasetPatterns = [
    "*.jsonl", "*.jsonl.gz", "*.jsonl.zst", "*.json", "*.json.gz", "*.json.zst", "*.parquet",
    "*.csv", "*.txt", "README.md", "LICENSE*",
  ]

  /// The files of `listing` that are wanted.
  ///
  /// - Throws: `hubNothingChosen` where there are none, or several models in GGUF files.
  package func files(of listing: HubListing, _ kind: HubKind) throws(Diagnostic) -> [HubFile] {
    let wanted: [HubFile]
    if !include.isEmpty {
      wanted = listing.files.filter { file in Self.matches(include, file.name) }
    } else if kind == .dataset {
      wanted = listing.files.filter { Self.matches(Self.datasetPatterns, $0.name) }
    } else {
      wanted = try Self.modelFiles(listing, exclude)
    }
    let chosen = wanted.filter { !Self.matches(exclude, $0.name) }
    guard !chosen.isEmpty else {
      let names = listing.files.prefix(8).map(\.name).joined(separator: ", ")
      throw Diagnostic(
        .hubNothingChosen, "no file matches; there are \(names.isEmpty ? "none" : names)",
        remedy: "name some with --include PATTERN")
    }
    return chosen
  }

  /// Files at the top, as a model's folder is read; of a repository without safetensors the one
  /// GGUF file; of a pipeline its parts.
  private static func modelFiles(
    _ listing: HubListing, _ exclude: [String]
  ) throws(Diagnostic) -> [HubFile] {
    if listing.files.contains(where: { $0.name == pipelineIndex }) {
      return pipelineFiles(listing)
    }
    let top = listing.files.filter {
      !$0.name.contains("/") && matches(modelPatterns, $0.name) && !matches(modelDoubles, $0.name)
    }
    let models = listing.files.filter {
      $0.name.hasSuffix(".gguf") && !matches(exclude, $0.name)
    }
    guard !top.contains(where: { $0.name.hasSuffix(".safetensors") }), !models.isEmpty else {
      return top
    }
    guard models.count == 1 else {
      let names = models.prefix(12).map(\.name).joined(separator: ", ")
      throw Diagnostic(
        .hubNothingChosen, "there are \(models.count) GGUF files: \(names)",
        remedy: "choose with --include, as in --include '\(models[0].name)'")
    }
    return top + models
  }

  /// What a repository of diffusers has at its top.
  private static let pipelineIndex = "model_index.json"
  /// The same weights rounded to another type, such as `model.fp16-00001-of-00002.safetensors`.
  private static let variants = ["*.fp16.*", "*.fp16-*", "*.bf16.*", "*.bf16-*"]

  /// The small files at the top, and of each folder with a configuration what a model's folder
  /// holds. Weights at the top, and in folders without one, are the pipeline's once more, in one
  /// file.
  private static func pipelineFiles(_ listing: HubListing) -> [HubFile] {
    func parts(_ file: HubFile) -> [Substring] { file.name.split(separator: "/") }
    func isWeights(_ name: Substring) -> Bool { name.hasSuffix(".safetensors") }
    let known = listing.files.filter { file in
      parts(file).last.map { matches(modelPatterns, String($0)) } ?? false
    }
    let inside = known.filter { parts($0).count == 2 }
    let configured = Set(
      inside.filter { $0.name.hasSuffix("config.json") }.compactMap { parts($0).first })
    let plain = Set(
      inside.filter { isWeights($0.name[...]) && !matches(variants, $0.name) }
        .compactMap { parts($0).first })
    return known.filter { file in
      let parts = parts(file)
      guard parts.count == 2 else { return parts.count == 1 && !isWeights(parts[0]) }
      // A part that is there in another type alone is better than none.
      let isDouble = plain.contains(parts[0]) && matches(variants, file.name)
      return configured.contains(parts[0]) && !isDouble
    }
  }

  private static func matches(_ patterns: [String], _ name: String) -> Bool {
    patterns.contains { Glob.matches($0.hasSuffix("/") ? $0 + "*" : $0, name) }
  }
}

/// Patterns as the hub's library understands them: `*` also matches slashes.
package enum Glob {
  /// - Parameter pattern: with `*`, `?` and `[…]`, `[!…]`.
  package static func matches(_ pattern: String, _ name: String) -> Bool {
    let (pattern, name) = (Array(pattern), Array(name))
    var (at, position) = (0, 0)
    var retry: (at: Int, position: Int)?
    while position < name.count {
      if at < pattern.count, pattern[at] == "*" {
        at += 1
        retry = (at, position)
      } else if at < pattern.count, let next = step(pattern, at, name[position]) {
        at = next
        position += 1
      } else if let last = retry {
        // The star takes one character more.
        retry = (last.at, last.position + 1)
        (at, position) = (last.at, last.position + 1)
      } else {
        return false
      }
    }
    return pattern[at...].allSatisfy { $0 == "*" }
  }

  /// Behind the part of the pattern at `index` that takes `character`; nil where it does not.
  private static func step(_ pattern: [Character], _ index: Int, _ character: Character) -> Int? {
    if pattern[index] == "?" { return index + 1 }
    guard pattern[index] == "[",
      let end = pattern.indices.first(where: { $0 > index + 1 && pattern[$0] == "]" })
    else { return pattern[index] == character ? index + 1 : nil }
    let isNegated = pattern[index + 1] == "!"
    let members = Array(pattern[(index + (isNegated ? 2 : 1))..<end])
    var isMember = false
    var place = 0
    while place < members.count {
      if place + 2 < members.count, members[place + 1] == "-" {
        isMember = isMember || (members[place] <= character && character <= members[place + 2])
        place += 3
      } else {
        isMember = isMember || members[place] == character
        place += 1
      }
    }
    return isMember != isNegated ? end + 1 : nil
  }
}
