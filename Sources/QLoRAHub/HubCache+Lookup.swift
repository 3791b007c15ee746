// Model and data arguments that mean something in the cache. Nothing is fetched for them.
import QLoRADiagnostics
import QLoRASystem

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

  /// What a folder or file of the cache is called on the hub, such as `ORG/NAME`; nil for a path
  /// elsewhere.
  package static func repositoryName(of path: String) -> String? {
    var parts = path.split(separator: "/").map(String.init)
    while let snapshots = parts.lastIndex(of: "snapshots"), snapshots > 0 {
      let words = parts[snapshots - 1].components(separatedByDashes: 2)
      if words.count > 1, words[0] == HubKind.model.plural {
        return words[1...].joined(separator: "/")
      }
      parts.removeSubrange(snapshots...)
    }
    return nil
  }
}

extension String {
  /// The parts between runs of `count` hyphens.
  fileprivate func components(separatedByDashes count: Int) -> [String] {
    split(separator: String(repeating: "-", count: count), omittingEmptySubsequences: false)
      .map(String.init)
  }
}
