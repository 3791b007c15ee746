// A recipe's rows as tokens: what training, evaluation and preview share.

import QLoRAData
import QLoRADiagnostics
import QLoRARecipe
import QLoRASystem
import QLoRATensor

/// Encoded training and validation rows.
package struct RunData {
  package let train: EncodedRows
  package let validation: EncodedRows
  package let report: EncodingReport

  /// Where rows go that memory has no room for, when no run has a folder yet: by the standard of
  /// Unix files a place for what is large and temporary, and on a disk.
  private static let usualScratchFolder = "/var/tmp"

  /// - Parameters:
  ///   - scratchFolder: for a nameless file of rows where they are too many for memory.
  ///   - memoryBytes: that the rows may take before.
  ///   - keepsOrigins: whether rows say who wrote each token.
  /// - Throws: diagnostics naming file, row and reason.
  package init(
    _ recipe: Recipe, text: ModelText, scratchFolder: String? = nil,
    memoryBytes: Int = RowMemory.usualBytes, keepsOrigins: Bool = false
  ) throws {
    let encoder = recipe.rowEncoder(text, keepsOrigins: keepsOrigins)
    let memory = RowMemory(
      byteCount: memoryBytes, folder: scratchFolder ?? Self.usualScratchFolder)
    let dataset = try Dataset.load(
      recipe.data.train.map(\.dataSource), encoder: encoder, memory: memory)
    if !recipe.data.validation.isEmpty {
      train = dataset.rows
      validation = try Dataset.load(
        recipe.data.validation.map(\.dataSource), encoder: encoder, memory: memory
      ).rows
    } else if recipe.data.validationSplit > 0 {
      (train, validation) = dataset.split(
        validationFraction: recipe.data.validationSplit,
        seed: UInt64(bitPattern: Int64(recipe.training.seed)))
    } else {
      train = dataset.rows
      validation = EncodedRows([])
    }
    report = dataset.report
  }

  /// The validation rows in their order, batched as training batches are.
  package func validationBatches(_ settings: BatchSettings) throws -> [TokenBatch] {
    guard !validation.isEmpty else { return [] }
    var settings = settings
    settings.shuffle = false
    settings.accumulation = 1
    settings.length = .epochs(1)
    settings.weights = []
    let plan = BatchPlan(rows: validation, settings: settings)
    return try (1...plan.stepCount).flatMap { try plan.microBatches(step: $0).map(\.tokenBatch) }
      .filter { !$0.rows.isEmpty }
  }
}
