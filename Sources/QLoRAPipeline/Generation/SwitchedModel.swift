// A base model whose adapters are chosen by name for each answer; the base is loaded once.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem

/// An adapter under the name by which it is asked for.
package struct NamedAdapter: Sendable {
  package var name: String
  package var path: String

  /// `NAME=PATH`, or a path alone: its last part is the name, or that of the run around it.
  package init(argument: String) {
    if let mark = argument.firstIndex(of: "="), mark != argument.startIndex {
      name = String(argument[..<mark])
      path = String(argument[argument.index(after: mark)...])
      return
    }
    path = argument
    let last = FilePath.lastComponent(of: argument)
    name = last == "adapter" ? FilePath.lastComponent(of: FilePath.parent(of: argument)) : last
  }
}

/// It belongs to one thread.
package final class SwitchedModel {
  package let loaded: LoadedModel
  /// The base first, then the adapters.
  package let names: [String]

  private let attached: [String: AttachedAdapters]
  private var current: (name: String, memory: PromptMemory)

  fileprivate init(
    _ loaded: LoadedModel, names: [String], attached: [String: AttachedAdapters]
  ) {
    self.loaded = loaded
    self.names = names
    self.attached = attached
    current = (names.first ?? "", PromptMemory(loaded.model, reuse: .wholeChunks))
  }

  /// The answer of one of the models. It depends on the prompt and nothing that was asked before.
  ///
  /// - Parameter name: one of `names`.
  package func answer(
    as name: String, to prompt: [Int32], _ options: AnswerOptions, isStopped: () -> Bool,
    emit: (AnswerPiece) -> Void
  ) throws -> Answer {
    if name != current.name, let adapters = attached[name] {
      loaded.model.attachedAdapters = adapters
      current = (name, PromptMemory(loaded.model, reuse: .wholeChunks))
    }
    return try Generator(loaded).answer(
      to: prompt, options, memory: current.memory, isStopped: isStopped, emit: emit)
  }
}

extension SwitchedModel {
  /// - Throws: why the device computes nothing any more.
  package func checkHealth() throws {
    do {
      try loaded.model.backend.checkHealth()
    } catch let failure as Diagnostic {
      throw failure.ofAnswer
    }
  }
}

extension Pipeline {
  /// A base model with any number of adapters.
  ///
  /// - Parameter base: its own adapter is not looked at.
  /// - Throws: `nameTaken`; `adaptersDisagree` where they were trained on a base held otherwise
  ///   and `base` does not say how; and what loading throws.
  package static func loadSwitched(
    _ base: BaseOptions, _ adapters: [NamedAdapter]
  ) throws -> SwitchedModel {
    let folders = try adapters.map { try AdapterFolder.open($0.path) }
    for folder in folders { try folder.requireLanguageModel("it does not answer") }
    let held = try folders.map { TrainedWith.text(try heldOptions(base, trained: $0.load)) }
    if let odd = held.indices.first(where: { held[$0] != held[0] }) {
      throw Diagnostic(
        .adaptersDisagree,
        "\"\(adapters[odd].name)\" was trained on a base held otherwise than "
          + "\"\(adapters[0].name)\"", at: .file(adapters[odd].path),
        remedy: "say --quantization and --compute-dtype, or serve them apart")
    }
    var names = [modelName(base.model)]
    for adapter in adapters {
      guard !adapter.name.isEmpty, !names.contains(adapter.name) else {
        throw Diagnostic(
          .nameTaken, "the name \"\(adapter.name)\" is empty or taken", at: .file(adapter.path),
          remedy: "say --adapter NAME=PATH")
      }
      names.append(adapter.name)
    }
    let loaded = try LoadedModel.load(
      try base.request(heldOptions(base, trained: folders.first?.load)),
      cache: base.cache, adapterBytes: folders.reduce(0) { $0 + $1.adapter.memoryBytes })
    let bare = loaded.model.attachedAdapters
    var attached = [names[0]: bare]
    for (name, folder) in zip(names.dropFirst(), folders) {
      loaded.model.attachedAdapters = bare
      try loaded.model.addAdapters(folder.adapter)
      attached[name] = loaded.model.attachedAdapters
    }
    loaded.model.attachedAdapters = bare
    return SwitchedModel(loaded, names: names, attached: attached)
  }

  /// A model's file or folder without what tells its kind.
  private static func modelName(_ path: String) -> String {
    let last = FilePath.lastComponent(of: path)
    return last.hasSuffix(".gguf") ? String(last.dropLast(".gguf".count)) : last
  }
}
