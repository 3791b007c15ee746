// What other trainers call our words for a value. As with keys, they are only recognised in
// messages.

extension RecipeAliases {
  /// The end of the error message where `word` is another tool's for something at `path`.
  static func advice(onWord word: String?, at path: String) -> String? {
    guard let word, path == "training.optimizer.type" else { return nil }
    return optimizer(word).map { "\"\(word)\" is \"\($0)\" here" }
  }

  /// Our optimizer that another tool calls `word`; nil where there is none.
  package static func optimizer(_ word: String) -> String? {
    var plain = Nearness.plain(word)
    let isPaged = plain.hasPrefix("paged")
    if isPaged { plain = String(plain.dropFirst("paged".count)) }
    guard let ours = optimizers[plain], ours != "sgd" || !isPaged else { return nil }
    return (isPaged ? "paged" : "") + ours
  }

  /// Optimizers as transformers, PEFT, axolotl, torchtune and bitsandbytes name them, spelled
  /// without case, `_`, `-` and `.`.
  static let optimizers: [String: String] = [
    "adamw": "adamw", "adamwhf": "adamw", "adamwtorch": "adamw", "adamwtorchfused": "adamw",
    "adamwanyprecision": "adamw", "adamw32bit": "adamw", "torchoptimadamw": "adamw",
    "optimiadamw": "adamw", "flashadamw": "adamw", "adamwtorchxla": "adamw",
    "adamwapexfused": "adamw", "bitsandbytesoptimadamw": "adamw",
    "bitsandbytesoptimpagedadamw": "pagedadamw", "bitsandbytesoptimadamw32bit": "adamw",
    "bitsandbytesoptimpagedadamw8bit": "pagedadamw8bit", "aoadamw8bit": "adamw8bit",
    "torchaooptimadamw8bit": "adamw8bit", "torchaoprototypelowbitoptimadamw8bit": "adamw8bit",
    "adamw8bit": "adamw8bit", "adamwbnb8bit": "adamw8bit", "adamwtorch8bit": "adamw8bit",
    "bitsandbytesoptimadamw8bit": "adamw8bit",
    "lion": "lion", "lion32bit": "lion", "lion8bit": "lion8bit",
    "bitsandbytesoptimlion8bit": "lion8bit", "torchoptimsgd": "sgd", "momentum": "sgd",
  ]
}
