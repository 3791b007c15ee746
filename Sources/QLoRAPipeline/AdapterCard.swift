// The model card beside an adapter. It carries no time, no path and no run id, so equal runs give
// equal bytes.

import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRAReport
import QLoRASystem

enum AdapterCard {
  /// - Parameters:
  ///   - facts: what is known of the training beside the adapter itself.
  ///   - ggufFile: the name of the base's file, where it is one of GGUF.
  static func text(
    _ adapter: PEFTAdapter, _ load: LoadOptions?, _ name: String, _ facts: [(String, String)],
    isOfImages: Bool = false, ggufFile: String? = nil
  ) -> String {
    let base = adapter.config.baseModel.map(FilePath.lastComponent(of:)) ?? "unknown"
    let rows =
      [
        ("base model", base),
        ("base in training", load?.quantization?.description ?? "not quantized"),
        ("compute type", load?.computeDType.rawValue ?? "unknown"),
        ("rank", "\(adapter.config.rank)"), ("alpha", "\(adapter.config.alpha)"),
        ("modules", "\(adapter.pairs.count)"),
      ] + facts
    let table = rows.map { "| \($0.0) | \($0.1.replacing("|", with: "\\|")) |" }
    return """
      ---
      library_name: \(isOfImages ? "diffusers" : "peft")
      ---
      # \(name)

      A LoRA adapter trained with swift-qlora.

      | | |
      |---|---|
      \(table.joined(separator: "\n"))

      ## Use

      \(isOfImages ? useOfImages(base) : use(adapter, base, ggufFile))

      """
  }

  private static func use(
    _ adapter: PEFTAdapter, _ base: String, _ ggufFile: String?
  ) -> String {
    let isClassifier = adapter.config.taskType == PEFTAdapterConfig.classification
    let isOfReader = adapter.config.taskType == PEFTAdapterConfig.readingAndWriting
    let autoClass =
      "AutoModelFor"
      + (isClassifier ? "SequenceClassification" : isOfReader ? "Seq2SeqLM" : "CausalLM")
    let count = (try? adapter.labels(named: nil))?.count ?? 0
    // transformers takes the folder of a GGUF file, qlora the file.
    let arguments =
      (ggufFile.map { ", gguf_file=\"\($0)\"" } ?? "")
      + (isClassifier ? ", num_labels=\(count)" : "")
    let folder = ggufFile == nil ? "BASE" : "FOLDER"
    let command = isClassifier ? "classify" : "generate"
    let text = isClassifier ? "--text" : "--prompt"
    return """
      ```python
      from peft import PeftModel
      from transformers import \(autoClass)

      base = \(autoClass).from_pretrained("\(folder)"\(arguments))  # where you keep \(base)
      model = PeftModel.from_pretrained(base, "ADAPTER")  # this folder
      ```

      or `qlora \(command) --model BASE --adapter ADAPTER \(text) TEXT`.
      """
  }

  private static func useOfImages(_ base: String) -> String {
    """
    ```python
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained("BASE")  # where you keep \(base)
    pipeline.load_lora_weights("ADAPTER")  # this folder
    ```
    """
  }

  /// How an adapter was trained; equal for every run of a recipe, however often it was resumed.
  static func facts(
    _ recipe: Recipe, _ summary: RunSummary, _ history: RunHistory
  ) -> [(String, String)] {
    let training = recipe.training
    let files = recipe.data.train.map { FilePath.lastComponent(of: $0.path) }
    let report = summary.report
    let facts: [(String, String?)] = [
      ("data", files.joined(separator: ", ")),
      (
        "rows",
        "\(report.encodedRows) with \(report.tokens) tokens, \(report.labelledTokens) of "
          + "them trained"
      ),
      (
        "steps",
        "\(summary.stepCount) of \(training.gradientAccumulation) × "
          + (recipe.task == .image
            ? "\(training.batchSize) images"
            : "\(training.batchSize) sequences of at most \(recipe.data.maxTokens) tokens")
      ),
      (
        "optimizer",
        "\(training.optimizer.type.rawValue), learning rate "
          + "\(training.optimizer.learningRate), \(training.schedule.type.rawValue) schedule with "
          + "\(training.schedule.warmupSteps) steps of warm-up"
      ),
      ("dropout", recipe.adapter.dropout > 0 ? "\(recipe.adapter.dropout)" : nil),
      ("seed", "\(training.seed)"),
      (
        "validation loss",
        history.evaluations.last.map { ProgressText.decimal($0.loss, 4) }
      ),
      (
        "validation accuracy",
        history.evaluations.last?.accuracy.map { ProgressText.decimal($0, 4) }
      ),
      ("labels", recipe.task == .classification ? recipe.data.labels.joined(separator: ", ") : nil),
    ]
    return facts.compactMap { name, value in value.map { (name, $0) } }
  }
}
