// Training on an 8-bit base: its weights count as what they decode to, and only evaluation splits
// activations into 8 bits and outliers.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAModels
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct Int8TrainingTests {
  static let int8 = ["model.quantization.type=int8"]
  let tiny: TinyRun

  init() throws { tiny = try TinyRun() }

  /// The values of a key in the lines of a run's log.
  private func values(_ key: String, of output: String) throws -> [Double] {
    try tiny.bytes("\(output)/metrics.jsonl").split(separator: UInt8(ascii: "\n"))
      .compactMap { try JSONValue(parsing: $0)[key]?.doubleValue }
  }

  private func quantize(_ output: String, threshold: Float = 6) throws {
    var options = QuantizationOptions()
    options.quantization = .int8(Int8Spec(threshold: threshold))
    _ = try Pipeline.quantize(
      model: tiny.modelPath, options, to: tiny.folder.path(output))
  }

  @Test func trainsAsOnTheDecodedWeights() throws {
    try quantize("eight")
    try Pipeline.dequantize(
      tiny.folder.path("eight"), dtype: .float32, to: tiny.folder.path("decoded"))
    try tiny.train("on-the-way", Self.int8)
    try tiny.train("stored", ["model.path=\(tiny.folder.path("eight"))"])
    try tiny.train(
      "plain", ["model.path=\(tiny.folder.path("decoded"))", "model.quantization.type=none"])
    let expected = try tiny.result("plain").adapter
    #expect(try tiny.result("on-the-way").adapter == expected)
    #expect(try tiny.result("stored").adapter == expected)
    #expect(try values("loss", of: "stored") == values("loss", of: "plain"))
    let split = try values("evalLoss", of: "stored")
    #expect(try split == values("evalLoss", of: "on-the-way"))
    #expect(try split != values("evalLoss", of: "plain"))
    for (one, other) in zip(split, try values("evalLoss", of: "plain")) {
      #expect(abs(one - other) < 0.02 * other)
    }
  }

  @Test func recomputingThreadsAndResumingChangeNothing() throws {
    try tiny.train("whole", Self.int8)
    let expected = try tiny.result("whole")
    try tiny.train("recomputed", Self.int8 + ["training.activationMemory=full"])
    #expect(try tiny.result("recomputed").metrics == expected.metrics)
    #expect(try tiny.result("recomputed").adapter == expected.adapter)
    try tiny.train("threads", Self.int8 + ["threads=3"])
    #expect(try tiny.result("threads").metrics == expected.metrics)
    let stop = StopAfter(polls: 8)
    try tiny.train("stopped", Self.int8, interruption: stop.poll)
    #expect(stop.hasFired)
    try tiny.resume("stopped")
    #expect(try tiny.result("stopped") == expected)
  }

  @Test func theThresholdCountsInEvaluationOnly() throws {
    try tiny.train("six", Self.int8 + ["model.quantization.threshold=6"])
    try tiny.train("half", Self.int8 + ["model.quantization.threshold=0.5"])
    #expect(try values("loss", of: "six") == values("loss", of: "half"))
    #expect(try values("evalLoss", of: "six") != values("evalLoss", of: "half"))
  }

  @Test func aFolderKeepsItsOwnThreshold() throws {
    try quantize("half", threshold: 0.5)
    let half = "model.path=\(tiny.folder.path("half"))"
    try tiny.train("folder", [half])
    try tiny.train("told", Self.int8 + ["model.quantization.threshold=0.5"])
    let found = #expect(throws: Diagnostics.self) {
      try tiny.train("contradicted", Self.int8 + [half, "model.quantization.threshold=6"])
    }
    #expect(found?.all.map(\.code.number) == ["E0108"])
    let expected = try values("evalLoss", of: "told")
    #expect(try values("evalLoss", of: "folder") == expected)
  }

  @Test func theCacheGivesTheSameWeights() throws {
    let cached = try CachedTiny()
    let options = LoadOptions(quantization: .int8(Int8Spec(threshold: 1)), computeDType: .float32)
    let expected = try cached.logits(options, cache: nil)
    for _ in 0..<2 { #expect(try cached.logits(options, cache: cached.cache()) == expected) }
    #expect(try cached.names().isEmpty == false)
  }
}
