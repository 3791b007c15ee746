// The choices of merging and what each is said to cost.
import Foundation
import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct MergeChoiceTests {
  let tiny: TinyRun

  init() throws {
    tiny = try TinyRun()
    try tiny.train("run", ["training.steps=3"])
  }

  private func compare(_ dtype: DType, samples: Bool) throws -> MergeReport {
    try Pipeline.compareMerges(
      model: nil, adapter: tiny.folder.path("run"), dtype: dtype,
      samples: samples
        ? DataSource(path: tiny.folder.path("validation.jsonl"), format: .messages) : nil)
  }

  private func merge(_ name: String, _ base: MergeBase) throws -> String {
    let path = tiny.folder.path(name)
    try Pipeline.merge(
      model: nil, adapter: tiny.folder.path("run"), base: base, dtype: .float32, to: path)
    return path
  }

  @Test func errorsAreThoseOfTheWrittenWeights() throws {
    let report = try compare(.float32, samples: false)
    #expect(report.lines.map(\.base) == MergeBase.allCases)
    let trained = try ModelSource.open(try merge("decoded", .decoded)).weights
    for line in report.lines {
      let written = try ModelSource.open(try merge("of-\(line.base)", line.base)).weights
      var (largest, sum, count) = (Float(0), 0.0, 0)
      for name in trained.names where name.hasSuffix("_proj.weight") {
        let (a, b) = (try trained.tensor(name).floats(), try written.tensor(name).floats())
        for (x, y) in zip(a, b) {
          largest = max(largest, abs(x - y))
          sum += Double(abs(x - y))
        }
        count += a.count
      }
      #expect(report.weights == count)
      #expect(line.maxWeightError == largest)
      #expect(abs(line.meanWeightError - sum / Double(count)) <= 1e-12)
      #expect((line.base == .decoded) == (largest == 0))
    }
  }

  /// The run's own validation rows are taken where none are given.
  @Test func predictionsAreCompared() throws {
    for samples in [true, false] {
      let report = try compare(.float32, samples: samples)
      #expect(report.sampleRows == 4 && report.note == nil)
      let divergences = try report.lines.map { try #require($0.divergence) }
      // In float32 the decoded merge is the trained model up to the order of sums.
      #expect(divergences[1].mean < 1e-9 && divergences[1].sameToken == 1)
      for other in [divergences[0], divergences[2]] {
        #expect(other.mean > 1e-7 && other.max >= other.mean)
      }
    }
  }

  @Test func withoutRowsWeightsAloneAreCompared() throws {
    try FileManager.default.copyItem(
      atPath: tiny.folder.path("run/adapter"), toPath: tiny.folder.path("lone"))
    let report = try Pipeline.compareMerges(
      model: tiny.modelPath, adapter: tiny.folder.path("lone"), dtype: .bfloat16, samples: nil)
    #expect(report.samples == nil && report.note?.contains("--samples") == true)
    #expect(report.lines.allSatisfy { $0.divergence == nil && $0.maxWeightError > 0 })
  }

  /// As `quantize` does with the folder of the merge into 16 bits.
  @Test func requantizedIsThePlainMergeQuantized() throws {
    let found = try ShardedSafetensors(folder: try merge("again", .requantized))
    _ = try Pipeline.quantize(
      model: try merge("plain", .original), QuantizationOptions(), to: tiny.folder.path("expected"))
    let expected = try ShardedSafetensors(folder: tiny.folder.path("expected"))
    #expect(found.names == expected.names)
    for name in expected.names {
      let (a, b) = (try found.readTensor(name), try expected.readTensor(name))
      #expect(a.dtype == b.dtype && a.shape == b.shape)
      #expect(a.withBytes { Array($0) } == b.withBytes { Array($0) }, "\(name)")
    }
    let loaded = try ModelSource.open(tiny.folder.path("again"))
    #expect(loaded.weights.names.contains(where: loaded.weights.isQuantized))
  }

  @Test func wordsOfEarlierVersionsAreKnown() {
    #expect(MergeBase(word: "original") == .original && MergeBase(word: "16bit") == .original)
    #expect(MergeBase(word: "quantized") == .decoded && MergeBase(word: "decoded") == .decoded)
    #expect(MergeBase(word: "requantized") == .requantized && MergeBase(word: "") == nil)
  }
}
