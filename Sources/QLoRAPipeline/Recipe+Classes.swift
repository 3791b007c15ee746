// What a recipe's classes are, and what they ask of model and rows.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRATensor

extension Recipe {
  /// nil of a language model.
  var classOptions: ClassOptions? {
    guard task == .classification else { return nil }
    return ClassOptions(
      count: data.labels.count,
      trainsPooler: adapter.modulesToSave.contains(ClassifierNames.poolerWord))
  }

  /// - Throws: `taskUnsupported` for modules that cannot be trained as a whole, or that cannot be
  ///   left out.
  func checkModulesToSave(_ config: ModelConfig) throws {
    let family = config.family
    if task == .language { _ = try config.modulesToSave(adapter.modulesToSave) }
    guard task == .classification, !adapter.modulesToSave.isEmpty,
      let names = family.classifier
    else { return }
    let possible = [names.module] + (names.pooler == nil ? [] : [ClassifierNames.poolerWord])
    let chosen = Set(adapter.modulesToSave)
    guard chosen.isSubset(of: possible), chosen.contains(names.module) else {
      throw Diagnostic(
        .taskUnsupported,
        "adapter.modulesToSave is \(adapter.modulesToSave.sorted()), and a model of type "
          + "\"\(family.rawValue)\" has \(possible.joined(separator: " and ")), of which "
          + "\(names.module) is always trained",
        remedy: "delete the key, or name these")
    }
  }
}

extension ResolvedRecipe {
  /// The recipe with the classes of its training rows, where it names none itself.
  /// - Throws: as `LabelSet.init(reading:)`.
  func withLabels() throws -> ResolvedRecipe {
    guard recipe.task == .classification, recipe.data.labels.isEmpty else { return self }
    return naming(labels: try LabelSet(reading: recipe.data.train.map(\.dataSource)).names)
  }
}

extension TokenBatch {
  /// The same sequences, of which the first token is read and all others are written: what is
  /// written costs the most.
  var allWritten: TokenBatch {
    var batch = self
    batch.types = positions.map { $0 == 0 ? 0 : 1 }
    let labels = zip(rows, targets).filter { positions[Int($0.0)] > 0 }
    batch.rows = labels.map(\.0)
    batch.targets = labels.map(\.1)
    return batch
  }

  /// The same sequences, each with a class instead of labelled tokens.
  var withClasses: TokenBatch {
    var batch = self
    batch.rows = bounds.dropFirst().map { Int32($0 - 1) }
    batch.targets = batch.rows.map { _ in 0 }
    return batch
  }
}
