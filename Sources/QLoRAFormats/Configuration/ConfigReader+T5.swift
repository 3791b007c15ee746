// What config.json says of T5 beside what all families have.
import QLoRADiagnostics
import QLoRAJSON

extension ConfigReader {
  /// Blocks that read and blocks that write together.
  func bothStacks(reading: Int) throws(Diagnostic) -> Int {
    let key = "num_decoder_layers"
    let writing = try int(key, default: reading)
    let possible = 1...1 << 12
    for (key, count) in [("num_layers", reading), (key, writing)]
    where !possible.contains(count) {
      throw wrong(key, "from 1 to \(possible.upperBound)", value(key))
    }
    return reading + writing
  }

  /// Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1; keys and defaults as transformers'
  /// T5Config has them.
  func readT5(_ form: inout DecoderForm) throws(Diagnostic) {
    form.attentionScale = 1
    let reader = ReaderForm(
      layers: try int("num_layers"),
      buckets: try int("relative_attention_num_buckets", default: 32),
      largestDistance: try int("relative_attention_max_distance", default: 128),
      isGated: form.activation != .relu,
      startToken: try int("decoder_start_token_id", default: 0))
    for (key, value, range) in [
      ("relative_attention_num_buckets", reader.buckets, 4...1 << 12),
      ("relative_attention_max_distance", reader.largestDistance, 4...1 << 16),
      ("decoder_start_token_id", reader.startToken, 0...1 << 24),
    ] where !range.contains(value) {
      throw wrong(key, "from \(range.lowerBound) to \(range.upperBound)", self.value(key))
    }
    guard reader.buckets % 4 == 0, reader.largestDistance > reader.buckets / 2 else {
      throw wrong(
        "relative_attention_num_buckets", "a multiple of 4 below the largest distance",
        value("relative_attention_num_buckets"))
    }
    form.reader = reader
    // Version 1.0 divides what its head reads; from 1.1 on the head is a table of its own.
    let isTied = try bool("tie_word_embeddings", default: true)
    if try bool("scale_decoder_outputs", default: isTied) {
      form.logitDivisor = Float(try int("d_model")).squareRoot()
    }
  }
}
