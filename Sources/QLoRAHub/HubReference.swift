// What a user writes to name a model or data set of the hub, or a file in one.
import QLoRADiagnostics

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

package enum HubKind: String, Sendable {
  case model, dataset

  /// In addresses of the programming interface, and in the names of the cache.
  var plural: String { rawValue + "s" }
}

/// A repository at a revision.
package struct HubReference: Sendable, Equatable {
  package static let scheme = "hf://"
  package static let standardRevision = "main"

  package let kind: HubKind
  /// `ORG/NAME`, or `NAME` of the oldest ones.
  package let id: String
  package let revision: String
  /// A file in it; nil: all of it.
  package let file: String?

  /// - Parameter text: `ORG/NAME`, `ORG/NAME@REVISION`, or with `hf://` and perhaps `datasets/`
  ///   before and `/FILE` behind it.
  /// - Returns: nil where it is no such thing.
  package init?(_ text: String, kind: HubKind = .model) {
    guard text.hasPrefix(Self.scheme) else {
      self.init(plain: text, kind: kind, file: nil)
      return
    }
    var rest = text.dropFirst(Self.scheme.count)
    var kind = kind
    for known in [HubKind.model, .dataset] where rest.hasPrefix(known.plural + "/") {
      kind = known
      rest = rest.dropFirst(known.plural.count + 1)
    }
    let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count >= 2 else {
      self.init(plain: String(rest), kind: kind, file: nil)
      return
    }
    let file = parts.count == 2 ? nil : parts[2...].joined(separator: "/")
    self.init(plain: parts[..<2].joined(separator: "/"), kind: kind, file: file)
  }

  private init?(plain text: String, kind: HubKind, file: String?) {
    let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let revision = parts.count == 2 ? String(parts[1]) : Self.standardRevision
    guard let name = parts.first.map(String.init), HubName.isRepository(name),
      HubName.isRevision(revision), file.map(HubName.isPath) ?? true
    else { return nil }
    self.kind = kind
    id = name
    self.revision = revision
    self.file = file
  }

  /// - Throws: `hubReferenceInvalid`.
  package init(
    argument text: String, kind: HubKind, revision: String? = nil
  ) throws(Diagnostic) {
    guard let parsed = HubReference(text, kind: kind),
      let whole = revision.map({ parsed.at($0) }) ?? parsed, HubName.isRevision(whole.revision)
    else {
      throw Diagnostic(
        .hubReferenceInvalid, "\"\(text)\" names nothing on the hub",
        remedy: "write ORG/NAME or ORG/NAME@REVISION")
    }
    self = whole
  }

  private init(_ other: HubReference, revision: String) {
    kind = other.kind
    id = other.id
    file = other.file
    self.revision = revision
  }

  /// The same at another revision.
  package func at(_ revision: String) -> HubReference? {
    HubName.isRevision(revision) ? HubReference(self, revision: revision) : nil
  }

  /// `ORG/NAME`, with the revision where it is not main.
  package var name: String {
    revision == Self.standardRevision ? id : "\(id)@\(revision)"
  }

  /// Its folder in the cache.
  package var folderName: String {
    ([kind.plural] + id.split(separator: "/").map(String.init)).joined(separator: "--")
  }

  /// Whether a path was meant more likely: a word without a slash, a file by its ending, and what
  /// lies in a folder that is here, or whose name no organisation has.
  package var isProbablyPath: Bool {
    let parts = id.split(separator: "/").map(String.init)
    guard parts.count == 2 else { return true }
    let endings = [".gguf", ".safetensors", ".json"]
    return endings.contains { parts[1].hasSuffix($0) }
      || Self.folderNames.contains(parts[0].lowercased())
      || FileManager.default.fileExists(atPath: parts[0])
  }

  /// The first three are words of the hub's own addresses; the others are folders of this program.
  private static let folderNames: Set = [
    "models", "datasets", "spaces", "runs", "recipes", "adapters", "checkpoints",
  ]

  /// The command that fetches it.
  package var downloadCommand: String {
    "qlora download \(name)" + (kind == .dataset ? " --dataset" : "")
      + (file.map { " --include '\($0)'" } ?? "")
  }
}
