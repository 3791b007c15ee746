// Model and data arguments that mean something in the cache. Nothing is fetched for them.
import QLoRADiagnostics
import QLoRASystem

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension HubCache {
  /// Where a reference lies.
  ///
  /// - Returns: the file that it names; of a model its snapshot's folder, or the one GGUF file in
  ///   it; of a data set the snapshot's folder.
  /// - Throws: `hubNotCached` with the command that fetches it; `hubNothingChosen` where the
  ///   snapshot holds several models.
  package func locate(_ reference: HubReference) throws(Diagnostic) -> String {
    guard let commit = commit(reference),
      let names = try? fileSystem.list(snapshot(reference, commit)), !names.isEmpty
    else {
      throw Diagnostic(
        .hubNotCached, "\(reference.kind.rawValue) \(reference.name) is not in the cache \(root)",
        remedy: "`\(reference.downloadCommand)` fetches it")
    }
    let folder = snapshot(reference, commit)
    if let file = reference.file {
      let path = FilePath.join(folder, file)
      guard try InputFile.openIfPresent(path) != nil else {
        throw Diagnostic(
          .hubNotCached, "the cache has \(reference.name), but not \"\(file)\" of it",
          at: .file(folder), remedy: "`\(reference.downloadCommand)` fetches it")
      }
      return path
    }
    let models = names.filter { $0.hasSuffix(".gguf") }
    guard reference.kind == .model, !models.isEmpty,
      !names.contains(where: { $0.hasSuffix(".safetensors") })
    else { return folder }
    guard models.count == 1 else {
      throw Diagnostic(
        .hubNothingChosen, "there are \(models.count) models: \(models.joined(separator: ", "))",
        at: .file(folder),
        remedy: "name one, as hf://\(reference.id)@\(reference.revision)/\(models[0])")
    }
    return FilePath.join(folder, models[0])
  }

  /// What an argument means that is a path, or a name on the hub.
  ///
  /// - Returns: the argument itself where something is there, or where it can be no name; else the
  ///   place in the cache.
  /// - Throws: `hubNotCached`; `hubReferenceInvalid` for a bad `hf://…`; as `locate`.
  package static func place(
    of argument: String,
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(Diagnostic) -> String {
    if FileManager.default.fileExists(atPath: argument) { return argument }
    guard let reference = HubReference(argument) else {
      guard argument.hasPrefix(HubReference.scheme) else { return argument }
      throw Diagnostic(
        .hubReferenceInvalid, "\"\(argument)\" names nothing on the hub",
        remedy: "write hf://ORG/NAME@REVISION/FILE, or hf://datasets/ORG/NAME/FILE")
    }
    guard let cache = HubCache(environment: environment) else { return argument }
    do throws(Diagnostic) {
      return try cache.locate(reference)
    } catch {
      let isPlain = !argument.hasPrefix(HubReference.scheme)
      guard isPlain, error.code == .hubNotCached else { throw error }
      guard !reference.isProbablyPath else { return argument }
      throw Diagnostic(
        .hubNotCached,
        "there is no file or folder of this name, and no such model in the hub's cache "
          + cache.root, at: .file(argument),
        remedy: "check the path; a model of the hub is fetched by "
          + "`\(reference.downloadCommand)`")
    }
  }

  /// What a folder or file of the cache is called on the hub, such as `ORG/NAME`; nil for a path
  /// elsewhere.
  package static func repositoryName(of path: String) -> String? {
    let parts = path.split(separator: "/")
    guard let snapshots = parts.lastIndex(of: "snapshots"), snapshots > 0 else { return nil }
    let words = parts[snapshots - 1].split(separator: "--")
    guard words.first == "models", words.count > 1 else { return nil }
    return words.dropFirst().joined(separator: "/")
  }
}
