// A recipe's rows as tokens: what training, evaluation and preview share.

import QLoRAData
import QLoRADiagnostics
import QLoRARecipe
import QLoRATensor

/// Encoded training and validation rows.
package struct RunData {
  package let train: [EncodedRow]
  package let validation: [EncodedRow]
  package let report: EncodingReport

  /// - Parameter keepsOrigins: whether rows say who wrote each token.
  /// - Throws: diagnostics naming file, row and reason.
  package init(_ recipe: Recipe, text: ModelText, keepsOrigins: Bool = false) throws {
    let encoder = RowEncoder(
      tokenizer: text.tokenizer, template: text.template, maxTokens: recipe.data.maxTokens,
      overLength: OverLength(rawValue: recipe.data.overLength.rawValue) ?? .truncate,
      keepsOrigins: keepsOrigins)
    let dataset = try Dataset.load(recipe.data.train.map(\.dataSource), encoder: encoder)
    if !recipe.data.validation.isEmpty {
      train = dataset.rows
      validation = try Dataset.load(
        recipe.data.validation.map(\.dataSource), encoder: encoder
      ).rows
    } else if recipe.data.validationSplit > 0 {
      (train, validation) = dataset.split(
        validationFraction: recipe.data.validationSplit,
        seed: UInt64(bitPattern: Int64(recipe.training.seed)))
    } else {
      train = dataset.rows
      validation = []
    }
    report = dataset.report
  }

  /// The validation rows in their order, batched as training batches are.
  package func validationBatches(_ settings: BatchSettings) -> [TokenBatch] {
    guard !validation.isEmpty else { return [] }
    var settings = settings
    settings.shuffle = false
    settings.accumulation = 1
    settings.length = .epochs(1)
    let plan = BatchPlan(rows: validation, settings: settings)
    return (1...plan.stepCount).flatMap { plan.microBatches(step: $0).map(\.tokenBatch) }
      .filter { !$0.rows.isEmpty }
  }
}
