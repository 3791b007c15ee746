// A base from the cache is the base from its files, bit for bit; and nothing else is ever taken for
// it, whatever changed and whatever broke.
import Foundation
import QLoRADiagnostics
import QLoRAModels
import QLoRAPipeline
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

@Suite struct WeightCacheTests {
  @Test func runsWithACachedBaseHaveTheSameBits() throws {
    let cached = try CachedTiny()
    try cached.tiny.train("without")
    try cached.tiny.train("first", cache: cached.cache())
    let entry = try #require(cached.cache().entries().first)
    try cached.tiny.train("second", cache: cached.cache())
    let expected = try cached.tiny.result("without")
    #expect(try cached.tiny.result("first") == expected)
    #expect(try cached.tiny.result("second") == expected)
    let after = try #require(cached.cache().entries().first)
    #expect(after.name == entry.name && after.lastUsed > entry.lastUsed)
    #expect(after.fact("model")?.stringValue == "model")
    #expect(try cached.names().count == 1 && cached.warnings.isEmpty)
  }

  @Test func theSecondLoadTakesWhatTheFirstLeft() throws {
    let cached = try CachedTiny()
    let expected = try cached.logits(cache: nil)
    #expect(try cached.logits(cache: cached.cache()) == expected)
    let model = try cached.load(cache: cached.cache())
    #expect(CachedTiny.logits(model) == expected)
    #expect(model.model.weightBytes == (try cached.load(cache: nil)).model.weightBytes)
    #expect(cached.warnings.isEmpty)
  }

  /// Every option that the bytes of a base depend on has an entry of its own.
  @Test func eachWayOfHoldingIsKeptApart() throws {
    let cached = try CachedTiny()
    var options = [CachedTiny.options]
    func vary(_ change: (inout LoadOptions) -> Void) {
      var other = CachedTiny.options
      change(&other)
      options.append(other)
    }
    vary { $0.computeDType = .float32 }
    vary { $0.skip = ["down_proj"] }
    vary { $0.skip = ["up_proj"] }
    vary { $0.quantization = .fourBit(QuantizationSpec(blockSize: 128)) }
    vary { $0.quantization = .fourBit(QuantizationSpec(doubleQuantized: false)) }
    vary { $0.quantization = .fourBit(QuantizationSpec(type: .fp4)) }
    var seen: Set<[Float]> = []
    for (index, option) in options.enumerated() {
      let expected = try cached.logits(option, cache: nil)
      for _ in 0..<2 { #expect(try cached.logits(option, cache: cached.cache()) == expected) }
      #expect(cached.cache().entries().count == index + 1)
      seen.insert(expected)
    }
    #expect(seen.count == options.count && cached.warnings.isEmpty)
  }

  /// One bit of one weight, with the file's size, inode and time of last write as they were.
  @Test func aFlippedBitIsNoticedThoughSizeAndTimeAreKept() throws {
    let cached = try CachedTiny()
    let before = try cached.logits(cache: cached.cache())
    let url = cached.tiny.folder.url.appending(path: "model/model.safetensors")
    let path = url.path(percentEncoded: false)
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    let file = try FileHandle(forUpdating: url)
    let length = try file.seekToEnd()
    try file.seek(toOffset: length - 2_001)
    let byte = try #require(try file.read(upToCount: 1)?.first)
    try file.seek(toOffset: length - 2_001)
    try file.write(contentsOf: [byte ^ 0x40])
    try file.close()
    try FileManager.default.setAttributes(
      [.modificationDate: try #require(attributes[.modificationDate])], ofItemAtPath: path)
    let now = try FileManager.default.attributesOfItem(atPath: path)
    let times = [now, attributes].compactMap { $0[.modificationDate] as? Date }
    // As exactly as a Date tells it.
    try #require(times.count == 2 && abs(times[0].timeIntervalSince(times[1])) < 1e-5)
    #expect(now[.size] as? Int == attributes[.size] as? Int)
    let after = try cached.logits(cache: cached.cache())
    #expect(after == (try cached.logits(cache: nil)) && after != before)
    #expect(cached.cache().entries().count == 2)
  }

  /// Digest and weights might be of different contents then, so nothing is kept.
  @Test func aBaseThatIsWrittenIntoWhileItLoadsIsNotKept() throws {
    let cached = try CachedTiny()
    let url = cached.tiny.folder.url.appending(path: "model/model.safetensors")
    // File systems count time in ticks of some milliseconds; a write in the tick of the opening is
    // in the bytes that are read.
    _ = try cached.load(cache: cached.cache()) { _ in
      usleep(20_000)
      guard let file = try? FileHandle(forUpdating: url), let end = try? file.seekToEnd() else {
        return
      }
      try? file.seek(toOffset: end - 1)
      try? file.write(contentsOf: [0x3C])
    }
    #expect(try cached.names().isEmpty)
    #expect(try cached.logits(cache: cached.cache()) == cached.logits(cache: nil))
    #expect(cached.cache().entries().count == 1 && cached.warnings.isEmpty)
  }

  /// The configuration belongs to the base: the same weights under another one are another base.
  @Test func aChangedConfigurationIsNoticed() throws {
    let cached = try CachedTiny()
    _ = try cached.logits(cache: cached.cache())
    let text = String(decoding: try cached.tiny.bytes("model/config.json"), as: UTF8.self)
    try cached.tiny.write("model/config.json", text + "\n")
    #expect(try cached.logits(cache: cached.cache()) == (try cached.logits(cache: nil)))
    #expect(cached.cache().entries().count == 2)
  }

  /// A copy of the model at another place is the same base.
  @Test func placeAndNameOfTheModelDoNotMatter() throws {
    let cached = try CachedTiny()
    let expected = try cached.logits(cache: cached.cache())
    try FileManager.default.copyItem(
      atPath: cached.tiny.modelPath, toPath: cached.tiny.folder.path("copy"))
    let copy = try LoadedModel.load(
      ModelRequest(path: cached.tiny.folder.path("copy"), load: CachedTiny.options, threads: 1),
      cache: cached.cache())
    #expect(CachedTiny.logits(copy) == expected)
    #expect(cached.cache().entries().count == 1)
  }

  @Test func aBaseThatIsNotQuantizedIsNotKept() throws {
    let cached = try CachedTiny()
    let options = LoadOptions(quantization: nil)
    #expect(
      try cached.logits(options, cache: cached.cache()) == cached.logits(options, cache: nil))
    #expect(try cached.names().isEmpty)
  }

  /// A removed entry leaves its memory to those who have it mapped.
  @Test func pruningDisturbsNobody() throws {
    let cached = try CachedTiny()
    let expected = try cached.logits(cache: cached.cache())
    let model = try cached.load(cache: cached.cache())
    #expect(cached.cache().prune(to: 0).count == 1)
    #expect(try cached.names().isEmpty)
    #expect(CachedTiny.logits(model) == expected && cached.warnings.isEmpty)
  }

  @Test func theLongestUnusedLeavesFirst() throws {
    let cached = try CachedTiny()
    func options(_ size: Int) -> LoadOptions {
      LoadOptions(quantization: .fourBit(QuantizationSpec(blockSize: size)))
    }
    _ = try cached.logits(options(64), cache: cached.cache())
    _ = try cached.logits(options(128), cache: cached.cache())
    let used = cached.cache().entries()
    try #require(used.count == 2)
    usleep(20_000)
    _ = try cached.logits(options(64), cache: cached.cache())
    let limit = used.reduce(0) { $0 + $1.byteCount }
    _ = try cached.logits(options(256), cache: cached.cache(byteLimit: limit))
    let left = cached.cache().entries().map(\.name)
    #expect(left.count == 2 && left.contains(used[0].name) && !left.contains(used[1].name))
    #expect(cached.warnings.isEmpty)
  }

  @Test func aBaseLargerThanTheCacheIsNotKept() throws {
    let cached = try CachedTiny()
    _ = try cached.logits(cache: cached.cache(byteLimit: 1000))
    #expect(cached.warnings.map(\.code) == [.cacheUnwritable])
    #expect(try cached.names().isEmpty)
  }

  @Test(arguments: [
    (["QLORA_CACHE": "here", "HOME": "/h", "XDG_CACHE_HOME": "/x"], "here/bases"),
    (["HOME": "/h", "XDG_CACHE_HOME": "/x"], "/x/qlora/bases"),
    (["HOME": "/h", "XDG_CACHE_HOME": "x"], "/h/.cache/qlora/bases"),
    (["HOME": "/h", "QLORA_CACHE": ""], "/h/.cache/qlora/bases"),
    (["HOME": "/h", "QLORA_CACHE": "off"], nil), ([:], nil),
  ])
  func theEnvironmentNamesThePlace(environment: [String: String], folder: String?) throws {
    let cache = try WeightCache.standard(environment: environment) { _ in }
    #expect(cache?.folder == folder)
  }

  @Test func theEnvironmentBoundsTheSize() throws {
    for (text, bytes) in [("5", 5), ("2KiB", 2048), ("3GiB", 3 << 30), ("0", 0), ("", 20 << 30)] {
      let cache = try WeightCache.standard(
        environment: ["QLORA_CACHE": "c", "QLORA_CACHE_LIMIT": text]) { _ in }
      #expect(cache?.byteLimit == bytes)
    }
    for text in ["GiB", "-1", "1.5GiB", "9999999999TiB", "5GB"] {
      let error = #expect(throws: Diagnostic.self) {
        try WeightCache.standard(
          environment: ["QLORA_CACHE": "c", "QLORA_CACHE_LIMIT": text]) { _ in }
      }
      #expect(error?.code == .cacheSettingInvalid, "\(text)")
    }
  }
}
