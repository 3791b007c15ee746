// Reads the configuration of a model folder, config.json, in the spellings of transformers 4 and 5:
// what all families have. What they differ in is in `ConfigReader+Form.swift`.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

extension ModelConfig {
  /// Configurations are a few thousand bytes; a megabyte is something else.
  static let maximumFileBytes = 1 << 20

  /// - Throws: `configMissing`, or what is wrong with a value, by file and key.
  package init(configPath path: String) throws(Diagnostic) {
    try self.init(json: try Self.json(configPath: path), path: path)
  }

  /// The config.json of a model of any architecture.
  ///
  /// - Throws: `configMissing`, `configInvalid`.
  package static func json(configPath path: String) throws(Diagnostic) -> JSONValue {
    guard
      let file = try InputFile.openIfPresent(
        FilePath.lastComponent(of: path), in: FilePath.parent(of: path))
    else {
      throw Diagnostic(
        .configMissing, "the model's config.json is not there", at: .file(path),
        remedy: "download it into the same folder as the weights")
    }
    let root = try JSONValue.read(file, limit: maximumFileBytes, code: .configInvalid)
    guard root.objectMembers != nil else {
      throw Diagnostic(.configInvalid, "expected an object", at: .file(path))
    }
    return root
  }

  /// - Throws: `quantizationUnsupported` for weights that are quantized by another method than
  ///   bitsandbytes, as config.json says of a model of any architecture.
  package static func checkQuantization(_ json: JSONValue, path: String) throws(Diagnostic) {
    try ConfigReader(json: json, path: path).checkQuantization()
  }

  package init(json: JSONValue, path: String) throws(Diagnostic) {
    let whole = ConfigReader(json: json, path: path)
    try whole.checkQuantization()
    let (reader, holder) = try whole.decoder()
    let family = try reader.family()
    let keys = ConfigKeys(family)
    let heads = try reader.int(keys.heads, default: keys.usualHeads)
    let hidden = try reader.int(keys.hidden)
    let stack = try reader.int(keys.layers)
    let layers = family.readsAndWrites ? try reader.bothStacks(reading: stack) : stack
    // T5 has no positions that end: files tell how long its training texts were.
    let stated = try reader.int(keys.maxPositions, default: keys.usualPositions)
    let maxPositions = family.readsAndWrites ? max(keys.usualPositions, stated) : stated
    let usual = heads > 0 ? hidden / heads : 0
    let headDim = try reader.int(keys.headDim, default: family.usualHeadDim ?? usual)
    self.init(
      vocabularySize: try reader.int("vocab_size", default: keys.usualVocabulary),
      hidden: hidden,
      intermediate: try reader.int(
        keys.intermediate, default: family == .gpt2 ? 4 * hidden : nil),
      layers: layers,
      heads: heads,
      kvHeads: family.groupsQueries
        ? try reader.int("num_key_value_heads", default: keys.usualKeyHeads ?? heads) : heads,
      headDim: headDim,
      normEpsilon: try reader.float(keys.normEpsilon, default: keys.usualNormEpsilon),
      rope: try reader.rope(maxPositions: maxPositions, usualTheta: family.usualTheta),
      maxPositions: maxPositions,
      tiesEmbeddings: try reader.bool(
        "tie_word_embeddings",
        default: try whole.bool("tie_word_embeddings", default: family.tiesByDefault)),
      bosTokens: try whole.tokens("bos_token_id", or: reader),
      eosTokens: try whole.tokens("eos_token_id", or: reader),
      dtype: whole.dtype() ?? reader.dtype())
    self.family = family
    self.holder = holder
    form = try reader.form(of: family, layers: layers, headDim: headDim)
    if family.isEncoder { tiesEmbeddings = true }
    try check(at: .file(path))
  }
}
